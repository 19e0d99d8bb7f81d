"""The benchmark of time series beside a real PostgreSQL, at the least size."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.timeseries import Scale, measured

from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

pytestmark = pytest.mark.slow

emptied = server_fixture("postgresql", scope="module")


async def test_both_sides_keep_the_same_flights_and_are_asked_the_same(emptied: Cluster, tmp_path: Path) -> None:
    scale = Scale(events=6_000, batch=500, rounds=2, reads=8, tables=3)
    figures = {each.bench.partition(".")[2]: each for each in await measured(emptied.url, tmp_path, scale)}
    assert list(figures) == [
        "ingest", "ingest_cpu", "newest_100_p50", "newest_100_p99", "day_p50", "day_p99", "dense_reads", "sparse_p50",
        "drop", "disk_before", "disk_left",
    ]  # fmt: skip
    assert all(each.ours > 0 for each in figures.values())
    assert {name: each.target for name, each in figures.items() if each.target is not None} == {
        "ingest": 3.0,
        "newest_100_p99": 2.0,
        "dense_reads": 2.0,
        "sparse_p50": 1.0,
        "drop": 100.0,
    }
