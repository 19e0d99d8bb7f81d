"""The benchmark of Parquet, on a few rows."""

from __future__ import annotations

import pytest

from benchmarks import kv_parquet


@pytest.mark.slow
def test_both_sides_are_measured() -> None:
    figures = kv_parquet.measure(kv_parquet.Scale(rounds=1, records=5))
    assert [each.bench for each in figures] == ["kv_parquet.export", "kv_parquet.import"]
    assert all(each.ours > 0 for each in figures)
    assert figures[0].rival is not None
