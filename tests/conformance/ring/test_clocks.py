"""Clocks that disagree: those of the nodes with one another, and those of processes with theirs.

Cassandra stamps what is written without a time, orders lightweight writes by its nodes' clocks, and two of the three
are half a second off here. Nothing may come of it: what counts are the times of the versions.
"""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncIterator

import pytest
from tests.conformance.cassandra.processes import GUARDED, PLAIN, Process
from tests.conformance.ring.skewed import OFF_MS

from soundstage.engines.records.cassandra import Link
from soundstage.servers import Cluster
from soundstage.servers.kinds.cql import Session

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OFF_S = 0.5
RECORDS = [b"record-%d" % number for number in range(8)]
"""Several, so that each node has its part in them."""

CHAIN = 12

STEP_MS = 200
"""By which the machine's own clock may be set meanwhile."""


@pytest.fixture
async def processes(link: Link) -> AsyncIterator[tuple[Process, Process]]:
    """One whose clock is behind, and one whose is ahead."""
    space = f"clocks-{time.time_ns()}"
    both = Process(link, space, -OFF_S), Process(link, space, OFF_S)
    for each in both:
        await each.start()
    yield both
    for each in both:
        await each.engine.stop()


def test_the_clocks_of_the_nodes_disagree(ring: Cluster) -> None:
    for node, off_ms in zip(ring.nodes, OFF_MS, strict=True):
        with Session(node.host, node.port) as session:
            before_ms = time.time_ns() // 1_000_000
            ((found,),) = session.query("SELECT toUnixTimestamp(now()) FROM system.local")
            after_ms = time.time_ns() // 1_000_000
        (said_ms,) = struct.unpack(">q", found or b"")
        assert before_ms - STEP_MS <= said_ms - off_ms <= after_ms + STEP_MS


@pytest.mark.parametrize("table", [PLAIN, GUARDED])
async def test_the_greatest_version_wins_whichever_node_is_asked(
    processes: tuple[Process, Process], table: str
) -> None:
    behind, ahead = processes
    seen: list[list[bytes]] = []
    for record in RECORDS:
        ahead_us = await ahead.put(table, b"ahead", record=record)
        await behind.put(table, b"behind", record=record)
        seen += [await behind.values(table, record), await ahead.values(table, record)]
        # Who has read a version writes the next one behind it, whatever its clock says.
        await behind.put(table, b"next", ahead_us + 1, record)
        seen += [await ahead.values(table, record), await behind.values(table, record)]
    assert seen == [[b"ahead"], [b"ahead"], [b"next"], [b"next"]] * len(RECORDS)


@pytest.mark.parametrize("table", [PLAIN, GUARDED])
async def test_a_delete_hides_what_is_older_and_nothing_else(processes: tuple[Process, Process], table: str) -> None:
    behind, ahead = processes
    await ahead.put(table, b"one")
    deleted_us = await ahead.delete(table)
    await behind.put(table, b"older")
    hidden = await behind.values(table)
    await behind.put(table, b"newer", deleted_us + 1)
    assert (hidden, await ahead.values(table)) == ([], [b"newer"])


async def test_conditions_hold_one_after_another_whoever_writes(processes: tuple[Process, Process]) -> None:
    stamp_us, token = await processes[1].put(GUARDED, b"first"), "put"
    stamps = [stamp_us]
    for number in range(CHAIN):
        writer, reader = processes[number % 2], processes[1 - number % 2]
        stamp_us, token = await writer.replace(stamp_us, token, f"token-{number}"), f"token-{number}"
        stamps.append(stamp_us)
        assert await reader.values(GUARDED) == [token.encode()]
    assert stamps == sorted(set(stamps))
