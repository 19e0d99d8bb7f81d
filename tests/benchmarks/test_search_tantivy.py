"""The benchmark of the search port on Tantivy, at the least size."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.search_tantivy import Scale, measured


def test_both_sides_do_the_same_work_and_are_timed(tmp_path: Path) -> None:
    figures = asyncio.run(measured(Scale(rounds=1, documents=100, batch=50, searches=5), str(tmp_path)))
    assert [each.bench for each in figures] == ["search_tantivy.write", "search_tantivy.match"]
    assert all(each.ours > 0 and each.rival for each in figures)
