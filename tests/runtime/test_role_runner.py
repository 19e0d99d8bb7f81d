"""Roles in several processes, in virtual time: each under its own clock, some of them dying."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import pytest
from tests.runtime.cluster import CutOff, SharedRecords

from soundstage.core.errors import PreconditionFailed, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.runtime.leases import Lease, LeaseLost, Leases
from soundstage.runtime.role_runner import PAUSE_MAX_S, RoleRunner
from soundstage.runtime.roles import Role, RoleContext
from soundstage.runtime.system_table import SystemTable
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import SimulationLoop, run

TTL_S = 10.0
T = TypeVar("T")


class Member:
    """A process with a runner; `works` are the leases under which its roles are at work."""

    def __init__(self, cluster: Members, name: str, skew_s: float) -> None:
        self.environment = SimulatedEnvironment(cluster.loop, f"{cluster.seed} {name}")
        self.environment.skew_s = skew_s
        self.link = CutOff(cluster.records)
        table = SystemTable(cast("Any", self.link), "leases", TokenClock(self.environment), self.environment)
        self.runner = RoleRunner(table, Leases(table, self.environment, name), self.environment, TTL_S)
        self.works: list[Lease | None] = []
        self.fences: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    def play(self, role: Role) -> None:
        context = RoleContext(environment=self.environment, invoker=cast("Any", None))
        self.tasks.append(asyncio.ensure_future(self.runner.run(role, context)))

    async def work(self, context: RoleContext) -> None:
        self.works.append(context.lease)
        if context.lease is not None:
            self.fences.append(context.lease.fence)
        try:
            await asyncio.Event().wait()
        finally:
            self.works.remove(context.lease)

    def kill(self) -> None:
        """It reaches the store no more; its tasks go on for as long as they believe to hold something."""
        self.link.cut = True

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def held(self) -> list[str]:
        """What it may work on at this moment."""
        return sorted(lease.name.rpartition("/")[2] for lease in self.works if lease is not None and lease.held)


class Members:
    def __init__(self, loop: SimulationLoop, seed: int) -> None:
        self.loop = loop
        self.seed = seed
        self.records = SharedRecords(SimulatedEnvironment(loop, seed))
        self.all: list[Member] = []

    async def add(self, count: int = 1, skew_s: float = 0.0, **role: Any) -> list[Member]:
        """So many more processes run the role."""
        added: list[Member] = []
        for _ in range(count):
            member = Member(self, f"m{len(self.all)}", skew_s)
            self.all.append(member)
            added.append(member)
            run: Any = role.get("run", member.work)
            member.play(Role(name="watch", **{**role, "run": run}))
        return added

    @property
    def held(self) -> list[str]:
        return sorted(name for member in self.all for name in member.held)

    async def stop(self) -> None:
        for member in self.all:
            await member.stop()


def simulated(main: Callable[[Members], Coroutine[Any, Any, T]], seed: int = 1) -> T:
    async def within() -> T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        members = Members(loop, seed)
        await members.records.start()
        await SystemTable(
            members.records, "leases", TokenClock(members.records._environment), members.records._environment
        ).create()
        result = await main(members)
        await members.stop()
        return result

    return run(within, seed)


PARTITIONS = tuple("abcdef")


def test_every_process_runs_a_role_of_every_process() -> None:
    async def main(members: Members) -> list[int]:
        await members.add(3)
        await asyncio.sleep(1)
        return [len(member.works) for member in members.all]

    assert simulated(main) == [1, 1, 1]


def test_one_process_runs_a_role_of_one() -> None:
    async def main(members: Members) -> int:
        await members.add(3, kind="one")
        await asyncio.sleep(5 * TTL_S)
        return len(members.held)

    assert simulated(main) == 1


@pytest.mark.parametrize("kind", ["one", "partitioned"])
def test_another_process_goes_on_within_two_leases_of_the_death_of_the_first(kind: str) -> None:
    async def main(members: Members) -> tuple[list[str], list[int]]:
        parts: dict[str, Any] = {"partitions": ("watch",)} if kind == "partitioned" else {}
        (first,) = await members.add(kind=kind, **parts)
        await asyncio.sleep(1)
        (second,) = await members.add(kind=kind, **parts)
        await asyncio.sleep(3 * TTL_S)
        assert first.held == ["watch"]
        first.kill()
        await asyncio.sleep(2 * TTL_S)
        return second.held, first.fences + second.fences

    assert simulated(main) == (["watch"], [1, 2])


def test_a_process_that_stops_leaves_its_role_to_others_at_once() -> None:
    async def main(members: Members) -> list[str]:
        (first,) = await members.add(kind="one")
        await asyncio.sleep(1)
        (second,) = await members.add(kind="one")
        await asyncio.sleep(1)
        await first.stop()
        await asyncio.sleep(TTL_S / 4)
        return second.held

    assert simulated(main) == ["watch"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 8])
def test_partitions_are_shared_evenly(count: int) -> None:
    async def main(members: Members) -> list[int]:
        await members.add(count, kind="partitioned", partitions=PARTITIONS)
        await asyncio.sleep(6 * TTL_S)
        assert members.held == list(PARTITIONS)
        return [len(member.held) for member in members.all]

    assert max(simulated(main)) == -(-len(PARTITIONS) // count)


def test_who_comes_gets_a_share_and_who_goes_leaves_one() -> None:
    async def main(members: Members) -> list[list[int]]:
        shares: list[list[int]] = []
        for change in ("come", "come", "go"):
            if change == "come":
                await members.add(kind="partitioned", partitions=PARTITIONS)
            else:
                await members.all[0].stop()
            await asyncio.sleep(4 * TTL_S)
            assert members.held == list(PARTITIONS)
            shares.append([len(member.held) for member in members.all])
        return shares

    assert simulated(main) == [[6], [3, 3], [0, 6]]


@pytest.mark.parametrize("skew_s", [0.9, 3_600])
@pytest.mark.parametrize("seed", range(8))
def test_no_partition_is_ever_two_processes_whatever_their_clocks_and_deaths(seed: int, skew_s: float) -> None:
    """Looked at every quarter of a second while processes with clocks of their own come and are cut off."""

    async def main(members: Members) -> Counter[int]:
        chance = SimulatedEnvironment(members.loop, f"deaths {seed}").random
        counts: Counter[int] = Counter()
        for _ in range(8):
            await members.add(skew_s=chance.uniform(-skew_s, skew_s), kind="partitioned", partitions=PARTITIONS)
            for _ in range(round(chance.uniform(4, 160))):
                await asyncio.sleep(0.25)
                counts[max(Counter(members.held).values(), default=0)] += 1
            if chance.random() < 0.6:
                chance.choice(members.all).kill()
        await asyncio.sleep(4 * TTL_S)
        alive = [member for member in members.all if not member.link.cut]
        # Clocks that are further apart than the drift allowed make the store refuse the slower ones' writes.
        assert skew_s > 1 or not alive or sorted(name for member in alive for name in member.held) == list(PARTITIONS)
        return counts

    assert set(simulated(main, seed)) <= {0, 1}


def test_what_a_fenced_out_process_writes_is_refused() -> None:
    async def main(members: Members) -> None:
        (first,) = await members.add(kind="one")
        await asyncio.sleep(1)
        lease = first.works[0]
        assert lease is not None
        first.kill()
        (second,) = await members.add(kind="one")
        await asyncio.sleep(2 * TTL_S)
        first.link.cut = False
        assert second.held == ["watch"]
        with pytest.raises(LeaseLost):
            lease.check()
        with pytest.raises(PreconditionFailed):
            # As one would that was stopped between its look at the clock and its write.
            await lease._leases.write(lease.name, lease._row, lease._stamp)

    simulated(main)


def test_a_role_that_fails_is_begun_again_ever_more_slowly(caplog: pytest.LogCaptureFixture) -> None:
    async def main(members: Members) -> list[float]:
        at: list[float] = []

        async def fails(_: RoleContext) -> None:
            at.append(members.loop.time())
            if len(at) % 2:
                raise Unavailable("down")
            raise KeyError("a defect")

        (member,) = await members.add(run=fails)
        await asyncio.sleep(300)
        assert member.runner.persistence.failures == len(at)
        return [later - earlier for earlier, later in itertools.pairwise(at)]

    with caplog.at_level(logging.WARNING, "soundstage.roles"):
        pauses = simulated(main)
    assert 0.2 < pauses[0] < 0.6
    assert PAUSE_MAX_S / 2 <= pauses[-1] <= PAUSE_MAX_S
    assert {record.getMessage() for record in caplog.records} == {"a role failed", "a role failed by a defect"}


def test_a_partition_whose_work_fails_is_begun_again() -> None:
    async def main(members: Members) -> Counter[str]:
        begun: Counter[str] = Counter()

        async def fails(context: RoleContext) -> None:
            begun[context.partition] += 1
            if context.partition == "a":
                raise Unavailable("down")
            await asyncio.Event().wait()

        await members.add(run=fails, kind="partitioned", partitions=("a", "b"))
        await asyncio.sleep(4 * TTL_S)
        return begun

    begun = simulated(main)
    assert begun["b"] == 1
    assert begun["a"] > 4


def test_a_store_that_was_away_is_worked_with_again_when_it_is_back() -> None:
    async def main(members: Members) -> list[str]:
        (member,) = await members.add(kind="one")
        await asyncio.sleep(1)
        member.link.cut = True
        await asyncio.sleep(3 * TTL_S)
        assert member.held == []
        member.link.cut = False
        await asyncio.sleep(PAUSE_MAX_S + 2 * TTL_S)
        return member.held

    assert simulated(main) == ["watch"]
