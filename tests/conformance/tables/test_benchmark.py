"""The benchmark of tables on Iceberg, at the least size."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.tables_iceberg import Scale, measured

pytestmark = pytest.mark.slow


async def test_both_sides_do_the_same_work_and_are_timed(tmp_path: Path) -> None:
    figures = await measured(tmp_path, Scale(rounds=1, rows=2_000, appends=2))
    assert [each.bench.partition(".")[2] for each in figures] == ["append", "scan", "filtered"]
    assert all(each.ours > 0 and each.rival and each.target == 0.9 for each in figures)
