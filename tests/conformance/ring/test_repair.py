"""What a ring that was really repaired says of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.engines.records.cassandra import CassandraRecords, Link
from soundstage.engines.records.cassandra.vitals import REPAIR_WITHIN_S, Vitals
from soundstage.servers import Cluster
from soundstage.servers.kinds.cassandra import Cassandra
from soundstage.servers.programs import Toolbox
from soundstage.servers.shelf import Shelf

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AGE = "cassandra_repair_age_seconds"
LOOKS_MAX = 100


def repair(ring: Cluster) -> None:
    """The tables that namespaces share are repaired on all nodes."""
    kit = Cassandra().install(Toolbox(Shelf(), lambda _: None))
    launch = kit.nodetool(ring.nodes[0], "repair", "-full", "suite", "rows", "paxos")
    variables = {**os.environ, **launch.variables}
    subprocess.run(launch.command, capture_output=True, timeout=240, check=True, env=variables)


async def ages(engine: CassandraRecords, link: Link) -> list[float]:
    """As somebody tells that looks for the first time."""
    vitals = Vitals(link, engine.parts.requests, engine.parts.eraser, SystemEnvironment())
    await vitals.look()
    return [each.value for each in vitals.measurements() if each.name == AGE]


async def test_the_age_of_the_last_repair_is_that_of_a_real_one(ring: Cluster, link: Link) -> None:
    engine = CassandraRecords(link, SystemEnvironment(), f"repair-{time.time_ns()}")
    await engine.start()
    before = await ages(engine, link)
    await asyncio.to_thread(repair, ring)
    found: list[float] = []
    for _ in range(LOOKS_MAX):
        # The history is written behind the answer.
        found = await ages(engine, link)
        if found:
            break
        await asyncio.sleep(0.05)
    await engine.stop()
    assert (before, len(found)) == ([], 1)
    assert 0 <= found[0] < REPAIR_WITHIN_S
