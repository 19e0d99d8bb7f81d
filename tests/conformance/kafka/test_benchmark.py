"""The benchmark of the log port on Kafka, at the least size."""

from __future__ import annotations

import pytest
from benchmarks.log_kafka import Scale, measured, sides

from soundstage.servers import Cluster

pytestmark = pytest.mark.slow


def test_both_sides_do_the_same_work_and_are_timed(kafka: Cluster) -> None:
    with sides(kafka.url) as (ours, bare):
        figures = measured(ours, bare, Scale(rounds=1, calls=2))
    assert [each.bench.partition(".")[2] for each in figures] == [
        "produce_100b",
        "consume_100b",
        "produce_1kib",
        "consume_1kib",
    ]
    assert all(each.ours > 0 and each.ratio is not None for each in figures)
