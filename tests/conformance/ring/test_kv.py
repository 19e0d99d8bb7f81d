"""The key-value store on three nodes: beside its model, and when the process that writes is killed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.conformance.cassandra.crash import wrong

from soundstage.engines.records.cassandra import Link
from soundstage.servers import Cluster
from soundstage.testing.kv.walk import walk
from soundstage.testing.records import OpenEngine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = 100
"""One node walks more of them."""


def test_a_walk_is_answered_as_by_the_model(open_engine: OpenEngine) -> None:
    assert walk(open_engine, 5, STEPS)["steps"] == STEPS


async def test_what_was_acknowledged_is_there_and_no_call_by_half(ring: Cluster, link: Link, tmp_path: Path) -> None:
    assert link.session is not None
    assert await wrong(f"{ring.url}/suite?space=crash-{time.time_ns()}", tmp_path) == []
