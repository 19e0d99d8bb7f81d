"""Producers and members of a group on a log whose process ends again and again, in virtual time; one seed, one run.

Producers append under tokens and repeat what was not answered. Members read, apply and commit; some are slow, some
break off without a word. What must hold:

- an acknowledged append is there, where it was told, and once;
- what a member was shown never becomes another entry;
- a position that was committed has everything before it applied, by whoever;
- in the end everything that is there was applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, TypeVar

import msgspec

from soundstage.core.errors import InvalidArgument, PreconditionFailed, SoundstageError, Unavailable
from soundstage.engines.log.consumer import Batch, Consumer, ConsumerOptions
from soundstage.engines.log.port import Entry, Log, Position, Spot, TopicSpec
from soundstage.testing.log.stores import LogStore
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import run, running_loop

T = TypeVar("T")

TOPIC, GROUP = "crowd/entries", "crowd/members"
PARTITIONS = 4
LASTS_S = 60.0
SESSION_US = 3_000_000
LOST = 0.02
"""So many answers do not come back, though what was asked is done."""


class CrowdReport(msgspec.Struct, kw_only=True):
    """What happened in one run."""

    appended: int = 0
    repeated: int = 0
    applied: int = 0
    applied_again: int = 0
    commits: int = 0
    fenced: int = 0
    ends: int = 0


class Violation(AssertionError):
    """A promise was not kept."""


class _Line:
    """The way to the log: calls under way when its process ends are answered by nobody, and others may not be."""

    def __init__(self, random: Random) -> None:
        self.log: Any = None
        self.process = 0
        self.lossy = True
        self._random = random

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*given: Any, **named: Any) -> Any:
            if self.log is None:
                raise Unavailable("the process is down", outcome="not_applied")
            process = self.process
            try:
                return await getattr(self.log, name)(*given, **named)
            finally:
                if process != self.process or (self.lossy and self._random.random() < LOST):
                    raise Unavailable("the process went away during the call", outcome="unknown")

        return call


class Crowd:
    """One run; see the module."""

    def __init__(self, store: LogStore, seed: int) -> None:
        self.report: CrowdReport = CrowdReport()
        self._store = store
        self._random = Random(f"crowd {seed}")
        self._environment = SimulatedEnvironment(running_loop(), seed)
        self._line = _Line(Random(f"line {seed}"))
        self._acked: dict[str, tuple[list[Spot], list[bytes]]] = {}
        self._applied: dict[tuple[int, int], bytes] = {}
        self._disturbed = True

    async def run(self) -> CrowdReport:
        """Raises `Violation`."""
        await self._begin()
        await self._line.log.create_topic(TopicSpec(name=TOPIC, partitions=PARTITIONS, token_us=3_600_000_000))
        tasks = [
            *(asyncio.ensure_future(self._produce(number)) for number in range(3)),
            *(asyncio.ensure_future(self._consume()) for _ in range(3)),
            asyncio.ensure_future(self._disturb()),
        ]
        await self._environment.sleep(LASTS_S)
        self._disturbed = False
        await asyncio.gather(*tasks)
        self._line.lossy = False
        await self._drain()
        await self._check()
        await self._line.log.stop()
        return self.report

    async def _begin(self) -> None:
        log: Log = self._store.open(self._environment)
        await log.start()
        self._line.log = log

    async def _disturb(self) -> None:
        while self._disturbed:
            await self._environment.sleep(self._random.uniform(0.1, 8.0))
            if self._random.random() < 0.3:
                self._environment.skew_s = self._random.uniform(-5.0, 5.0)
            else:
                await self._end()

    async def _end(self) -> None:
        """The process of the log ends, and another comes up on what it left."""
        log, self._line.log = self._line.log, None
        self._line.process += 1
        self.report.ends += 1
        end = self._random.choice(self._store.ends)
        self._store.leave(end)
        await log.stop()
        await self._environment.sleep(self._random.choice((0.0, 0.5, 6.0)))
        await self._begin()

    async def _produce(self, number: int) -> None:
        call = 0
        while self._disturbed:
            token = f"{number}-{call}"
            values = [b"%s-%d" % (token.encode(), index) for index in range(self._random.randint(1, 4))]
            keyed = self._random.random() < 0.8
            entries = [Entry(value, b"%d" % self._random.randrange(9) if keyed else None) for value in values]
            spots = await self._until_done(lambda: self._line.append(TOPIC, entries, token=token))  # noqa: B023
            self._acked[token] = (spots, values)
            self.report.appended += len(values)
            call += 1
            await self._environment.sleep(self._random.choice((0.0, 0.05, 0.3)))

    async def _until_done(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except SoundstageError as error:
                if not error.retryable and not isinstance(error, Unavailable):
                    raise
                self.report.repeated += 1
                await self._environment.sleep(0.1)

    async def _consume(self) -> None:
        while self._disturbed:
            member = self._member()
            try:
                await self._follow(member)
            except (Unavailable, PreconditionFailed):
                await self._environment.sleep(0.2)
            # Some say that they leave, of others nothing is heard any more.
            if self._random.random() < 0.5:
                await member.leave()

    def _member(self) -> Consumer:
        line: Log = self._line  # pyright: ignore[reportAssignmentType]
        options = ConsumerOptions(session_us=SESSION_US, limit_entries=self._random.randint(1, 20))
        return Consumer(line, GROUP, [TOPIC], self._environment, options)

    async def _follow(self, member: Consumer) -> None:
        while self._disturbed and self._random.random() > 0.03:
            batch = await member.poll()
            if batch is None:
                await self._environment.sleep(0.1)
                continue
            if self._random.random() < 0.03:
                await self._environment.sleep(SESSION_US / 1e6 * self._random.uniform(0.5, 2.0))
            self._apply(batch)
            if self._random.random() < 0.7:
                await self._commit(member)

    def _apply(self, batch: Batch) -> None:
        for entry in batch.entries:
            place = batch.partition, entry.offset
            before = self._applied.get(place)
            if before is not None and before != entry.value:
                raise Violation(f"the entry {place} was shown as {before!r}, and then as {entry.value!r}")
            self.report.applied += before is None
            self.report.applied_again += before is not None
            self._applied[place] = entry.value or b""

    async def _commit(self, member: Consumer) -> None:
        commit = member.applied()
        if not await member.commit():
            self.report.fenced += 1
            return
        self.report.commits += 1
        if commit is not None:
            for position in commit.positions:
                self._check_position(position)

    def _check_position(self, position: Position) -> None:
        missing = [at for at in range(position.offset) if (position.partition, at) not in self._applied]
        if missing:
            raise Violation(f"the position {position} was committed, and {missing[:3]} were never applied")

    async def _drain(self) -> None:
        """One more member applies what is left, once those that broke off are given up."""
        await self._environment.sleep(2 * SESSION_US / 1e6)
        async with self._member() as member:
            while (batch := await member.poll()) is not None:
                self._apply(batch)
                await self._commit(member)

    async def _check(self) -> None:
        found: list[list[bytes]] = []
        for partition, (start, end) in enumerate(await self._line.bounds(TOPIC)):
            page = await self._line.read(TOPIC, partition, 0, 100_000, 8 << 20)
            if [entry.offset for entry in page.entries] != list(range(start, end)):
                raise Violation(f"the offsets of the partition {partition} are not dense")
            found.append([entry.value for entry in page.entries])
            self._check_position(Position(TOPIC, partition, end))
        for token, (spots, values) in self._acked.items():
            for spot, value in zip(spots, values, strict=True):
                if len(found[spot.partition]) <= spot.offset or found[spot.partition][spot.offset] != value:
                    raise Violation(f"the append {token} was acknowledged at {spot}, and is not there")
        everything = [value for values in found for value in values]
        if len(set(everything)) != len(everything):
            raise Violation("an entry was appended twice under one token")


def crowd(make: Callable[[Random], LogStore], seed: int) -> CrowdReport:
    """One run with that seed. Raises `Violation`."""
    store = make(Random(f"store {seed}"))

    def main() -> Coroutine[Any, Any, CrowdReport]:
        return _played(store, seed)

    try:
        return run(main, seed)
    finally:
        store.close()


async def _played(store: LogStore, seed: int) -> CrowdReport:
    try:
        return await Crowd(store, seed).run()
    except InvalidArgument as error:
        # A position after the end: what was read or committed has gone.
        raise Violation(str(error)) from error
