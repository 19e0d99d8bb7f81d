from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest

from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.errors import PreconditionFailed, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.leases import Lease, LeaseLost, Leases
from soundstage.runtime.system_table import SystemTable
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import SimulationLoop, run

TTL_S = 30.0


class Unsteady(MemoryRecords):
    """An engine that is down while told so, hangs for as long, and loses answers as often as told."""

    down = False
    losses = 0
    hangs_s = 0.0
    hung: Environment

    async def apply(self, *args: object, **options: object) -> int:
        if self.hangs_s:
            await self.hung.sleep(self.hangs_s)
        if self.down:
            raise Unavailable("down", outcome="not_applied")
        answer = await super().apply(*args, **options)  # type: ignore[arg-type]
        if self.losses:
            self.losses -= 1
            raise Unavailable("the answer was lost", outcome="unknown")
        return answer


@pytest.fixture
async def engine(environment: VirtualEnvironment) -> Unsteady:
    engine = Unsteady(environment)
    await engine.start()
    return engine


@pytest.fixture
async def table(engine: Unsteady, environment: VirtualEnvironment) -> SystemTable:
    table = SystemTable(engine, "leases", TokenClock(environment), environment)
    await table.create()
    return table


@pytest.fixture
def ours(table: SystemTable, environment: VirtualEnvironment) -> Leases:
    return Leases(table, environment, "ours")


@pytest.fixture
def theirs(table: SystemTable, environment: VirtualEnvironment) -> Leases:
    return Leases(table, environment, "theirs")


async def taken(leases: Leases, name: str = "job") -> Lease:
    lease = await leases.take(name, TTL_S)
    assert lease is not None
    return lease


async def test_a_free_name_is_taken_at_once(ours: Leases) -> None:
    lease = await taken(ours)
    assert (lease.held, lease.fence, await ours.holder_of("job")) == (True, 1, "ours")


async def test_a_name_has_one_holder(ours: Leases, theirs: Leases) -> None:
    await taken(ours)
    assert await theirs.take("job", TTL_S) is None


async def test_names_are_apart(ours: Leases, theirs: Leases) -> None:
    await taken(ours, "a")
    await taken(theirs, "b")


async def test_a_released_name_is_free_at_once(ours: Leases, theirs: Leases) -> None:
    lease = await taken(ours)
    await lease.release()
    assert (lease.held, await ours.holder_of("job")) == (False, None)
    assert (await taken(theirs)).fence == 2


async def test_releasing_twice_harms_nobody(ours: Leases, theirs: Leases) -> None:
    lease = await taken(ours)
    await lease.release()
    other = await taken(theirs)
    await lease.release()
    await other.renew()


async def test_a_holder_gives_up_at_two_thirds(ours: Leases, environment: VirtualEnvironment) -> None:
    lease = await taken(ours)
    environment.advance(TTL_S * 2 / 3 - 0.001)
    assert lease.held
    environment.advance(0.001)
    assert (lease.held, lease.loss) == (False, "it ran out before it was renewed")
    with pytest.raises(LeaseLost):
        lease.check()


async def test_a_lease_that_was_given_up_is_not_renewed(ours: Leases, environment: VirtualEnvironment) -> None:
    lease = await taken(ours)
    environment.advance(TTL_S * 2 / 3)
    with pytest.raises(LeaseLost):
        await lease.renew()


async def test_a_taker_waits_the_whole_time_from_when_it_first_looked(
    ours: Leases, theirs: Leases, environment: VirtualEnvironment
) -> None:
    await taken(ours)
    environment.advance(TTL_S)
    assert await theirs.take("job", TTL_S) is None
    environment.advance(TTL_S - 0.001)
    assert await theirs.take("job", TTL_S) is None
    environment.advance(0.001)
    assert (await taken(theirs)).fence == 2


async def test_a_taker_waits_anew_after_a_renewal(
    ours: Leases, theirs: Leases, environment: VirtualEnvironment
) -> None:
    lease = await taken(ours)
    for _ in range(10):
        assert await theirs.take("job", TTL_S) is None
        environment.advance(TTL_S / 2)
        await lease.renew()
    assert lease.held


async def test_wall_clocks_mean_nothing(ours: Leases, theirs: Leases, environment: VirtualEnvironment) -> None:
    lease = await taken(ours)
    await theirs.take("job", TTL_S)
    environment.skew(1.5)
    assert await theirs.take("job", TTL_S) is None
    environment.skew(-1.5)
    await lease.renew()


async def test_of_two_takers_one_wins(ours: Leases, theirs: Leases, environment: VirtualEnvironment) -> None:
    await taken(Leases(ours._table, environment, "dead"))  # pyright: ignore[reportPrivateUsage]
    assert (await ours.take("job", TTL_S), await theirs.take("job", TTL_S)) == (None, None)
    environment.advance(TTL_S)
    won = await asyncio.gather(ours.take("job", TTL_S), theirs.take("job", TTL_S))
    assert sum(lease is not None for lease in won) == 1


async def test_a_holder_that_was_replaced_cannot_renew(
    ours: Leases, theirs: Leases, environment: VirtualEnvironment, table: SystemTable
) -> None:
    lease = await taken(ours)
    await theirs.take("job", TTL_S)
    environment.advance(TTL_S)
    await taken(theirs)
    lease._until_ns = environment.monotonic_ns() + 10**12  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(LeaseLost):
        await lease.renew()
    assert (lease.held, lease.loss) == (False, "another process has it")


async def test_a_lost_answer_is_found_again(ours: Leases, engine: Unsteady) -> None:
    engine.losses = 1
    lease = await taken(ours)
    engine.losses = 1
    await lease.renew()
    assert lease.held


async def test_a_store_that_is_down_is_told_and_the_lease_kept_for_its_time(ours: Leases, engine: Unsteady) -> None:
    lease = await taken(ours)
    engine.down = True
    with pytest.raises(Unavailable):
        await lease.renew()
    assert lease.held


async def test_a_forgotten_name_begins_anew(ours: Leases) -> None:
    lease = await taken(ours)
    await ours.forget(lease.name)
    assert (await taken(ours)).fence == 1


async def test_work_is_done_while_the_lease_is_held(ours: Leases, theirs: Leases) -> None:
    async def work(lease: Lease) -> int:
        assert await theirs.take("job", TTL_S) is None
        return lease.fence

    assert await ours.while_held("job", TTL_S, work) == 1
    assert (await taken(theirs)).fence == 2


async def test_work_is_left_to_who_holds_the_lease(ours: Leases, theirs: Leases) -> None:
    await taken(theirs)

    async def work(lease: Lease) -> int:
        raise AssertionError

    assert await ours.while_held("job", TTL_S, work) is None


async def test_what_work_raises_is_raised_and_the_lease_released(ours: Leases, theirs: Leases) -> None:
    async def work(lease: Lease) -> int:
        raise LookupError

    with pytest.raises(LookupError):
        await ours.while_held("job", TTL_S, work)
    await taken(theirs)


class World:
    """Several processes on one store, in virtual time; each works until it is done or stopped, and asks nobody."""

    def __init__(self, loop: SimulationLoop, seed: int) -> None:
        self.random = Random(seed)
        self.environment = SimulatedEnvironment(loop, seed)
        self.engine = Unsteady(self.environment)
        self.engine.hung = self.environment
        self.loop = loop
        self.working: set[str] = set()
        self.fences: list[int] = []
        self.turns = 0

    async def process(self, name: str) -> None:
        environment = SimulatedEnvironment(self.loop, self.random.randrange(2**32))
        environment.skew_s = self.random.uniform(-1, 1)
        table = SystemTable(self.engine, "leases", TokenClock(environment), environment)
        leases = Leases(table, environment, name)

        async def work(lease: Lease) -> None:
            assert not self.working, "two hold one lease"
            self.working.add(name)
            self.fences.append(lease.fence)
            self.turns += 1
            try:
                await environment.sleep(self.random.uniform(0, 3 * TTL_S))
            finally:
                self.working.discard(name)

        while True:
            with contextlib.suppress(LeaseLost, Unavailable):
                await leases.while_held("job", TTL_S, work)
            await environment.sleep(self.random.uniform(0, TTL_S))

    async def weather(self) -> None:
        while True:
            await self.environment.sleep(self.random.uniform(0, 2 * TTL_S))
            self.engine.losses = self.random.randrange(3)
            self.engine.down = self.random.random() < 0.3
            self.engine.hangs_s = self.random.choice((0.0, 0.0, self.random.uniform(0, 3 * TTL_S)))


@pytest.mark.parametrize("seed", range(20))
def test_however_the_store_behaves_one_holds_and_fences_grow(seed: int) -> None:
    async def main() -> World:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        world = World(loop, seed)
        await world.engine.start()
        await SystemTable(world.engine, "leases", TokenClock(world.environment), world.environment).create()
        tasks = [asyncio.ensure_future(world.process(f"p{number}")) for number in range(4)]
        tasks.append(asyncio.ensure_future(world.weather()))
        for _ in range(60):
            await world.environment.sleep(TTL_S)
            # A process that dies says nothing to anybody.
            victim = world.random.randrange(4)
            if world.random.random() < 0.2:
                tasks[victim].cancel()
                await asyncio.gather(tasks[victim], return_exceptions=True)
                tasks[victim] = asyncio.ensure_future(world.process(f"p{victim}"))
        failed = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert failed == []
        return world

    world = run(main, seed)
    assert world.turns > 5
    assert world.fences == sorted(set(world.fences))


async def test_a_row_is_written_only_with_the_stamp_it_replaces(ours: Leases, table: SystemTable) -> None:
    lease = await taken(ours)
    stamp = lease._stamp  # pyright: ignore[reportPrivateUsage]
    await lease.renew()
    with pytest.raises(PreconditionFailed):
        await ours.write("job", lease._row, stamp)  # pyright: ignore[reportPrivateUsage]
