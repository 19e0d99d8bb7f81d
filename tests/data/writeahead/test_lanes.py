"""The worker as its role runs it, in virtual time: what it notices by itself, and what holds up what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.data.writeahead.conftest import House, Shop, mutation

from soundstage.core.errors import DeadlineExceeded, InvalidArgument, Unavailable
from soundstage.data.writeahead.worker import Worker, work_off
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.records.memory import MemoryRecords
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import SimulationLoop, run


class Slow(Shop):
    """The place `slow` never answers: its calls end when their deadline does."""

    def __init__(self, environment: SimulatedEnvironment) -> None:
        super().__init__()
        self._clock = environment

    async def apply(self, mutation: bytes, time_us: int, token: str, deadline_ns: int) -> None:
        if self.place(mutation) == "slow":
            await self._clock.sleep((deadline_ns - self._clock.monotonic_ns()) / 1e9)
            raise DeadlineExceeded("no answer")
        await super().apply(mutation, time_us, token, deadline_ns)


def simulated(main: Callable[[House], Coroutine[Any, Any, None]]) -> None:
    """`main`, with a house in virtual time."""

    async def within() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        environment: Any = SimulatedEnvironment(loop, "house")
        records, log = MemoryRecords(environment), MemoryLog(environment)
        await records.start()
        await log.start()
        house = House(environment, records, log)
        house.shop = Slow(environment)
        await house.ledger.create()
        await main(house)

    run(within, 1)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_set_is_applied_as_soon_as_it_comes() -> None:
    async def main(house: House) -> None:
        working = asyncio.ensure_future(Worker(house.journal, house.shop).run())
        await house.submit(mutation("1"))
        await asyncio.sleep(0.5)
        await house.submit(mutation("2"), token="u")
        await asyncio.sleep(0.01)
        assert house.shop.values() == {"a": "2"}
        await ended(working)

    simulated(main)


def test_the_first_set_of_another_process_is_noticed_within_a_second() -> None:
    async def main(house: House) -> None:
        working = asyncio.ensure_future(Worker(house.restarted(), house.shop).run())
        await asyncio.sleep(0.5)
        await house.submit(mutation("1"))
        await asyncio.sleep(1.1)
        assert house.shop.values() == {"a": "1"}
        await ended(working)

    simulated(main)


def test_a_set_that_waits_is_tried_when_it_is_due() -> None:
    async def main(house: House) -> None:
        working = asyncio.ensure_future(Worker(house.journal, house.shop).run())
        await house.submit(mutation("1"), due_us=house.environment.now_us() + 3_300_000)
        await asyncio.sleep(3.29)
        assert house.shop.values() == {}
        await asyncio.sleep(0.05)
        assert house.shop.values() == {"a": "1"}
        await ended(working)

    simulated(main)


def test_a_place_that_never_answers_holds_up_others_for_a_second_at_most() -> None:
    async def main(house: House) -> None:
        working = asyncio.ensure_future(Worker(house.journal, house.shop).run())
        for number in range(200):
            await house.submit(mutation("1", "slow"), token=f"s{number}")
        await house.submit(mutation("1"), token="after")
        await asyncio.sleep(1.2)
        assert house.shop.values() == {"a": "1"}
        await ended(working)

    simulated(main)


def test_a_place_that_never_answers_holds_up_no_set_that_is_due() -> None:
    async def main(house: House) -> None:
        working = asyncio.ensure_future(Worker(house.journal, house.shop).run())
        for number in range(20):
            await house.submit(mutation("1", "slow"), token=f"s{number}")
        await house.submit(mutation("1"), token="due", due_us=house.environment.now_us() + 20_000_000)
        await asyncio.sleep(20.1)
        assert house.shop.values() == {"a": "1"}
        await ended(working)

    simulated(main)


def test_a_worker_ends_with_what_its_ledger_fails_with() -> None:
    async def main(house: House) -> None:
        await house.submit(mutation("1"))
        await house.records.stop()
        with pytest.raises(Unavailable):
            await Worker(house.journal, house.shop).run()

    simulated(main)


def test_nothing_of_a_worker_that_was_cancelled_goes_on() -> None:
    async def main(house: House) -> None:
        working = asyncio.ensure_future(Worker(house.journal, house.shop).run())
        await house.submit(mutation("1", "slow"))
        await asyncio.sleep(2)
        before = asyncio.all_tasks()
        await ended(working)
        assert len(asyncio.all_tasks()) == 1 < len(before)

    simulated(main)


def test_the_role_of_a_stage_without_a_log_waits() -> None:
    async def main(house: House) -> None:
        async def open() -> Any:
            raise InvalidArgument("no log")

        working = asyncio.ensure_future(work_off(open, None))
        await asyncio.sleep(100)
        assert not working.done()
        await ended(working)

    simulated(main)
