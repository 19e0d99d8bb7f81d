from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import pytest
from tests.testing.simulation.theatre import at_site

from soundstage.core.errors import Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.runtime.system_table import SystemTable
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.process import SPEED, Killed, Process
from soundstage.testing.simulation.scenario import Site
from soundstage.testing.simulation.storage import RocksStorage, Storage
from soundstage.testing.simulation.turn import aside

T = TypeVar("T")


def beside(body: Callable[[Site, Process], Awaitable[T]], storage: Storage | None = None) -> T:
    """What `body` returns, given a site and a process that has begun."""

    async def main(site: Site) -> T:
        process = site.add_process()
        process.begin()
        return await body(site, process)

    return at_site(main, storage=storage)


def table(process: Process, name: str = "leases") -> SystemTable:
    environment = process.environment
    return SystemTable(process.records, name, TokenClock(environment), environment)


async def put(process: Process, value: bytes) -> None:
    await table(process).write("place", {"row": value}, {})


async def read(process: Process) -> bytes | None:
    entry = await table(process).get("place", "row")
    return None if entry is None else entry.value


def test_processes_share_the_engine_of_the_host() -> None:
    async def body(site: Site, first: Process) -> bytes | None:
        second = site.add_process()
        second.begin()
        await first.run(put(first, b"v"))
        return await second.run(read(second))

    assert beside(body) == b"v"


def test_a_process_goes_on_with_what_a_host_left() -> None:
    async def body(site: Site, process: Process) -> bytes | None:
        await process.run(put(process, b"v"))
        await site.host.restart("power", 0.5)
        return await process.run(read(process))

    class Durable(RocksStorage):
        def __init__(self) -> None:
            super().__init__(Random(2))
            self.durability = "group"

    assert beside(body, Durable()) == b"v"


def test_the_engine_is_gone_while_the_host_is_down() -> None:
    async def body(site: Site, process: Process) -> str | None:
        restarting = asyncio.ensure_future(site.host.restart("kill", 60.0))
        await asyncio.sleep(1)
        with pytest.raises(Unavailable, match="the engine is down") as refused:
            await process.run(read(process))
        await restarting
        return refused.value.outcome

    assert beside(body) == "not_applied"


def test_nobody_knows_what_an_engine_did_that_went_down_meanwhile() -> None:
    async def body(site: Site, process: Process) -> str | None:
        slow = site.host.engine.engine
        answered = slow.get

        async def late(*args: object) -> object:
            await asyncio.sleep(1)
            return await answered(*args)  # type: ignore[arg-type]

        slow.get = late  # type: ignore[method-assign, assignment]
        reading = process.spawn(read(process))
        await asyncio.sleep(0.5)
        restarting = asyncio.ensure_future(site.host.restart("kill", 60.0))
        with pytest.raises(Unavailable) as lost:
            await reading
        await restarting
        return lost.value.outcome

    # A stopped engine refuses by itself; one that answers is not believed.
    assert beside(body) in ("unknown", "not_applied")


def test_a_process_meets_the_weather_of_the_host() -> None:
    async def body(site: Site, process: Process) -> int:
        site.host.set_rates(FaultRates(lost_before=1.0))
        with pytest.raises(Unavailable, match="lost on its way"):
            await process.run(read(process))
        return site.faults()["port_lost_before"]

    assert beside(body) >= 1


def test_a_killed_process_reaches_nothing_any_more() -> None:
    async def body(site: Site, process: Process) -> None:
        records = process.records
        process.kill()
        with pytest.raises(Unavailable, match="this process has ended"):
            await records.tables()

    beside(body)


def test_who_waits_for_a_process_hears_that_it_was_killed() -> None:
    async def body(site: Site, process: Process) -> None:
        waiting = asyncio.ensure_future(process.run(asyncio.sleep(60)))
        await asyncio.sleep(1)
        process.kill()
        with pytest.raises(Killed):
            await waiting
        assert site.loop.time() == 1.0

    beside(body)


def test_a_process_that_is_not_there_does_nothing() -> None:
    async def body(site: Site, process: Process) -> None:
        process.kill()
        process.kill()
        with pytest.raises(Killed):
            await process.run(asyncio.sleep(0))

    beside(body)


def test_what_a_killed_process_had_sent_arrives() -> None:
    async def body(site: Site, first: Process) -> bytes | None:
        site.host.set_rates(FaultRates(late=1.0, late_s=10.0))
        sending = asyncio.ensure_future(first.run(put(first, b"late")))
        await asyncio.sleep(0.001)
        first.kill()
        with pytest.raises(Killed):
            await sending
        site.host.set_rates(FaultRates())
        second = site.add_process()
        second.begin()
        before = await second.run(read(second))
        await asyncio.sleep(60)
        assert before is None
        return await second.run(read(second))

    assert beside(body) == b"late"


def test_the_next_life_is_another_process() -> None:
    async def body(site: Site, process: Process) -> tuple[str, str, bytes | None]:
        first = process.name
        await process.run(put(process, b"v"))
        process.kill()
        process.begin(0.5)
        return first, process.name, await process.run(read(process))

    assert beside(body) == ("process 0/1", "process 0/2", b"v")


async def ticks(process: Process, told: list[float], site: Site) -> None:
    while True:
        await process.environment.sleep(1)
        told.append(site.loop.time())


def test_a_paused_process_does_nothing_until_it_goes_on() -> None:
    async def body(site: Site, process: Process) -> list[float]:
        told: list[float] = []
        process.spawn(ticks(process, told, site))
        await asyncio.sleep(3.5)
        process.pause(10.0)
        assert process.is_paused
        await asyncio.sleep(9)
        assert len(told) == 3
        await asyncio.sleep(2)
        assert not process.is_paused
        return told

    told = beside(body)
    assert told[3] == pytest.approx(13.5)


def test_a_paused_process_holds_up_nobody_else() -> None:
    async def body(site: Site, process: Process) -> int:
        other = site.add_process()
        other.begin()
        told: list[float] = []
        other.spawn(ticks(other, told, site))
        process.pause(100.0)
        await asyncio.sleep(10.8)
        return len(told)

    assert beside(body) in (10, 11)


def test_what_a_paused_process_had_sent_arrives_meanwhile() -> None:
    async def body(site: Site, process: Process) -> bytes | None:
        site.host.set_rates(FaultRates(late=1.0, late_s=1.0))
        process.spawn(put(process, b"v"))
        await asyncio.sleep(0)
        process.pause(1_000.0)
        await asyncio.sleep(10)
        other = site.add_process()
        other.begin()
        return await other.run(read(other))

    assert beside(body) == b"v"


def test_a_pause_can_be_cut_short() -> None:
    async def body(site: Site, process: Process) -> float:
        process.pause(1_000.0)
        doing = asyncio.ensure_future(process.run(process.environment.sleep(1)))
        await asyncio.sleep(5)
        process.resume()
        process.resume()
        await doing
        return site.loop.time()

    assert beside(body) == pytest.approx(6, rel=0.05)


def test_a_process_may_be_killed_while_it_is_paused() -> None:
    async def body(site: Site, process: Process) -> None:
        process.pause(1_000.0)
        doing = asyncio.ensure_future(process.run(process.environment.sleep(1)))
        await asyncio.sleep(1)
        process.kill()
        with pytest.raises(Killed):
            await doing

    beside(body)


def test_a_run_ends_though_a_process_is_paused() -> None:
    async def body(site: Site, process: Process) -> bool:
        process.spawn(process.environment.sleep(1))
        await asyncio.sleep(0)
        process.pause(1_000.0)
        await asyncio.sleep(5)
        return process.is_paused

    assert beside(body)


def test_clocks_of_processes_have_nothing_in_common() -> None:
    async def body(site: Site, process: Process) -> None:
        other = site.add_process()
        other.begin(skew_s=3_600.0)
        mine, its = process.environment, other.environment
        assert its.now_us() - mine.now_us() == 3_600_000_000
        began = mine.monotonic_ns(), its.monotonic_ns()
        assert began[0] != began[1]
        await asyncio.sleep(100)
        passed = [(mine.monotonic_ns() - began[0]) / 1e11, (its.monotonic_ns() - began[1]) / 1e11]
        assert passed[0] != passed[1]
        assert all(1 - SPEED <= each <= 1 + SPEED for each in passed)

    beside(body)


def test_a_process_sleeps_by_its_own_clock() -> None:
    async def body(site: Site, process: Process) -> float:
        began = process.environment.monotonic_ns()
        await process.environment.sleep(50)
        return (process.environment.monotonic_ns() - began) / 1e9

    assert beside(body) == pytest.approx(50)


def test_what_goes_on_by_itself_meets_faults_by_dice_of_its_own() -> None:
    async def body(site: Site, process: Process) -> str:
        site.host.set_rates(FaultRates(lost_before=1.0))
        with aside(), pytest.raises(Unavailable) as lost:
            await process.serve(read(process))
        return str(lost.value)

    assert "lost on its way" in beside(body)
