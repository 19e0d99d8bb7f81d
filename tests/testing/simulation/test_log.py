"""The log of a run: what it keeps, and how it fails."""

from __future__ import annotations

from random import Random

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.log.port import Entry, TopicSpec
from soundstage.testing.simulation.faults import HEALTHY, FaultRates
from soundstage.testing.simulation.log import LastingLog
from soundstage.testing.simulation.turn import Turn, taking

ENTRIES = [Entry(f"{number}".encode(), b"k") for number in range(4)]


async def log_with(rates: FaultRates = HEALTHY) -> LastingLog:
    log = LastingLog(VirtualEnvironment(), lambda: rates)
    await log.start()
    await log.create_topic(TopicSpec(name="a/b"))
    return log


async def values(log: LastingLog) -> list[bytes | None]:
    return [entry.value for entry in (await log.read("a/b", 0, 0)).entries]


async def test_a_healthy_log_appends() -> None:
    log = await log_with()
    with taking(Turn(Random(1))):
        await log.append("a/b", ENTRIES)
    assert await values(log) == [b"0", b"1", b"2", b"3"]


async def test_a_log_keeps_what_it_has_when_a_process_stops() -> None:
    log = await log_with()
    await log.append("a/b", ENTRIES)
    await log.stop()
    assert len(await values(log)) == 4


async def test_an_append_that_is_lost_before_leaves_nothing() -> None:
    log = await log_with(FaultRates(lost_before=1.0))
    with taking(Turn(Random(1))), pytest.raises(Unavailable) as caught:
        await log.append("a/b", ENTRIES)
    assert (caught.value.outcome, await values(log)) == ("not_applied", [])
    assert log.counts == {"append_lost_before": 1}


@pytest.mark.parametrize("seed", range(5))
async def test_an_append_that_is_cut_off_leaves_its_first_entries(seed: int) -> None:
    log = await log_with(FaultRates(lost_after=1.0))
    with taking(Turn(Random(seed))), pytest.raises(Unavailable) as caught:
        await log.append("a/b", ENTRIES)
    found = await values(log)
    assert caught.value.outcome == "unknown"
    assert 1 <= len(found) < 4
    assert found == [entry.value for entry in ENTRIES[: len(found)]]


async def test_an_append_of_one_entry_is_lost_after_it_was_done() -> None:
    log = await log_with(FaultRates(lost_after=1.0))
    with taking(Turn(Random(1))), pytest.raises(Unavailable):
        await log.append("a/b", ENTRIES[:1])
    assert (await values(log), log.counts) == ([b"0"], {"append_lost_after": 1})


async def test_appends_of_no_step_meet_no_fault() -> None:
    log = await log_with(FaultRates(lost_before=1.0, lost_after=1.0))
    await log.append("a/b", ENTRIES)
    assert len(await values(log)) == 4
