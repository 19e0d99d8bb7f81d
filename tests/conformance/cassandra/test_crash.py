"""A process whose stage is on a real Cassandra is killed amid its writes: what another one finds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.conformance.cassandra.crash import wrong

from soundstage.servers import Cluster

pytestmark = pytest.mark.slow


async def test_what_was_acknowledged_is_there_and_no_call_by_half(cassandra: Cluster, tmp_path: Path) -> None:
    assert await wrong(f"{cassandra.url}/suite?space=crash-{time.time_ns()}", tmp_path) == []
