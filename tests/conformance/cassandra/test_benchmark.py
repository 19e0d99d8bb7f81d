"""The benchmark of the records port on Cassandra, at the least size."""

from __future__ import annotations

import pytest
from benchmarks.records_cassandra import Scale, measured, sides

from soundstage.servers import Cluster

pytestmark = pytest.mark.slow


def test_both_sides_do_the_same_work_and_are_timed(cassandra: Cluster) -> None:
    with sides(cassandra.url) as (ours, bare):
        figures = measured(ours, bare, Scale(rounds=1, calls=200, decisions=20))
    assert [each.bench.partition(".")[2] for each in figures] == [
        "puts",
        "gets",
        "ranges",
        "decided_puts",
        "decided_gets",
    ]
    assert all(each.ours > 0 for each in figures)
    assert [each.ratio is not None for each in figures] == [True, True, True, False, False]
