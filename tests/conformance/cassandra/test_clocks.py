"""Clocks that disagree: those of processes with one another, and with those of the nodes.

The conformance suite runs three years behind the nodes' own clocks as it is; here processes are ahead, too.
"""

from __future__ import annotations

import time

import pytest
from tests.conformance.cassandra.processes import GUARDED, PLAIN, Process

from soundstage.engines.records.cassandra import Link

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("table", [PLAIN, GUARDED])
@pytest.mark.parametrize("off_s", [-86_400.0, 86_400.0])
async def test_a_process_whose_clock_is_not_the_nodes_reads_what_it_wrote(link: Link, table: str, off_s: float) -> None:
    process = Process(link, f"clocks-{time.time_ns()}", off_s)
    await process.start()
    seen: list[list[bytes]] = []
    await process.put(table, b"one")
    seen.append(await process.values(table))
    await process.delete(table)
    seen.append(await process.values(table))
    await process.put(table, b"two")
    seen.append(await process.values(table))
    await process.engine.stop()
    assert seen == [[b"one"], [], [b"two"]]


@pytest.mark.parametrize("table", [PLAIN, GUARDED])
async def test_the_later_token_wins_whoever_is_asked_first(link: Link, table: str) -> None:
    space = f"clocks-{time.time_ns()}"
    behind, ahead = Process(link, space, -300.0), Process(link, space, 1.0)
    await behind.start()
    await ahead.start()
    await ahead.put(table, b"ahead")
    await behind.put(table, b"behind")
    found = [await behind.values(table), await ahead.values(table)]
    await behind.engine.stop()
    await ahead.engine.stop()
    assert found == [[b"ahead"], [b"ahead"]]


async def test_a_condition_that_holds_is_written_over_what_a_fast_clock_wrote(link: Link) -> None:
    space = f"clocks-{time.time_ns()}"
    behind, ahead = Process(link, space, -300.0), Process(link, space, 1.0)
    await behind.start()
    await ahead.start()
    first_us = await ahead.put(GUARDED, b"ahead")
    stamped_us = await behind.replace(first_us, "put", "behind")
    found = await ahead.values(GUARDED)
    await behind.engine.stop()
    await ahead.engine.stop()
    assert (stamped_us, found) == (first_us + 1, [b"behind"])
