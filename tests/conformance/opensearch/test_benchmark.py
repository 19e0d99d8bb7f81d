"""The benchmark of the search port on OpenSearch, at the least size."""

from __future__ import annotations

import pytest
from benchmarks.search_opensearch import Scale, measured

from soundstage.servers import Cluster

pytestmark = pytest.mark.slow


async def test_both_sides_do_the_same_work_and_are_timed(opensearch: Cluster) -> None:
    figures = await measured(Scale(rounds=1, documents=200, batch=100, searches=5), opensearch.url)
    assert [(each.bench, each.target) for each in figures] == [
        ("search_opensearch.bulk", 0.9),
        ("search_opensearch.bulk_alone", None),
        ("search_opensearch.match", None),
    ]
    assert all(each.ours > 0 and each.rival for each in figures)
