"""A member of a group: reads its share of some topics, batch by batch, and says what it has applied.

    async with Consumer(log, "billing", ["plays"], environment) as consumer:
        async for batch in consumer:
            await apply(batch)
            await consumer.commit()

What was applied and not committed is read again, by this member or another: every entry is seen at least once. Apply
idempotently, by a token of the entry or its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Literal, TypeAlias

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, PreconditionFailed, SoundstageError
from soundstage.engines.log.membership import Place
from soundstage.engines.log.port import WAIT_MAX_POSITIONS, Assignment, Bounds, Commit, Groups, Log, Position, Stored

BEATS_PER_SESSION = 3

Begin: TypeAlias = Literal["start", "end"]


class ConsumerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`begin`: where a partition without a position is read from. `lost`: what becomes of entries that retention took.

    The group takes a member for gone that for `session_us` neither asked for a batch, nor committed, nor called `beat`.
    """

    session_us: int = 60_000_000
    limit_entries: int = 1_000
    limit_bytes: int = 1 << 20
    begin: Begin = "start"
    lost: Literal["refuse", "skip"] = "refuse"


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Entries that follow each other in one partition; `position` is what is committed once they were applied."""

    topic: str
    partition: int
    entries: list[Stored]
    position: int


class EntriesLost(InvalidArgument):
    """A position lies before the start: retention took entries that the group had not read."""


class Consumer:
    """One member of `group`, under a name of its own; for one task. `log` has `LogCapability.GROUPS`.

    `skipped` counts entries that were gone before they were read, with `lost="skip"`.
    """

    def __init__(
        self,
        log: Log,
        group: str,
        topics: Sequence[str],
        environment: Environment,
        options: ConsumerOptions | None = None,
    ) -> None:
        if not isinstance(log, Groups):
            raise InvalidArgument(
                "the log has no groups", field="log", hint="use an engine with the capability `groups`"
            )
        self.group = group
        self.topics: tuple[str, ...] = tuple(topics)
        self.member: str = f"m-{environment.random.getrandbits(96):024x}"
        self.assignment: Assignment | None = None
        self.skipped: int = 0
        self._log: Log = log
        self._groups: Groups = log
        self._environment = environment
        self._options = options or ConsumerOptions()
        self._positions: dict[Place, int] = {}
        self._applied: dict[Place, int] = {}
        self._ends: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self._turns: deque[Place] = deque()
        self._beat_ns = 0

    async def __aenter__(self) -> Consumer:
        await self._join()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self

    async def __anext__(self) -> Batch:
        """The next batch, as soon as there is one; partitions take turns.

        Raises `EntriesLost`, unless told to skip, and what the log raises; ask again once it is well.
        """
        while True:
            await self._stay()
            batch = await self._next()
            if batch is not None:
                return batch
            await self._wait()

    async def poll(self) -> Batch | None:
        """The next batch if there is one now."""
        await self._stay()
        return await self._next()

    async def commit(self) -> bool:
        """Everything handed out so far was applied: the group's positions are behind it, durably.

        False when the partitions have gone to others meanwhile, who read it again from the position before.
        """
        if not self._applied:
            await self._stay()
            return True
        commit = self.applied()
        if commit is None:
            return False
        try:
            await self._groups.commit(commit)
        except PreconditionFailed:
            self._fall_out()
            return False
        self._was_committed(commit)
        return True

    def applied(self) -> Commit | None:
        """What `commit` would commit, to be written in one batch with what was made of it; None without a share.

        See `AtomicWithLog.write_together`. It is committed once that is done: ask for the next batch.
        """
        if self.assignment is None:
            return None
        positions = [Position(topic, partition, offset) for (topic, partition), offset in self._applied.items()]
        return Commit(group=self.group, positions=positions, member=self.member, generation=self.assignment.generation)

    async def beat(self) -> bool:
        """The group hears of this member; whether it still has its share. For work that takes long."""
        if self.assignment is None:
            return False
        self._beat_ns = self._environment.monotonic_ns()
        if await self._groups.beat(self.group, self.member, self.assignment.generation):
            return True
        self._fall_out()
        return False

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """The partition, which is of this member's share, is read from `offset` on."""
        place = self._own(topic, partition)
        self._positions[place] = offset
        self._applied.pop(place, None)

    def pause(self, topic: str, partition: int) -> None:
        """The partition stays this member's, and nothing of it is read until `resume`."""
        self._paused.add(self._own(topic, partition))

    def resume(self, topic: str, partition: int) -> None:
        """It is read again."""
        self._paused.discard((topic, partition))

    async def leave(self) -> None:
        """Others read what this member had; what it did not commit, they read again. Idempotent."""
        if self.assignment is not None:
            self.assignment = None
            # Who cannot be told finds out when the session ends.
            with suppress(SoundstageError):
                await self._groups.leave(self.group, self.member)

    def _own(self, topic: str, partition: int) -> Place:
        if (topic, partition) not in self._positions:
            raise InvalidArgument(f"the partition {partition} of {topic!r} is not in this member's share")
        return topic, partition

    async def _stay(self) -> None:
        """This member has its share, and has been heard of lately."""
        session_ns = self._options.session_us * 1_000
        due = self._environment.monotonic_ns() >= self._beat_ns + session_ns // BEATS_PER_SESSION
        if self.assignment is not None and due:
            await self.beat()
        if self.assignment is None:
            await self._join()

    async def _join(self) -> None:
        """This member has a share, and reads on from the group's positions."""
        self._beat_ns = self._environment.monotonic_ns()
        assignment = await self._groups.join(self.group, self.member, self.topics, self._options.session_us)
        positions: dict[Place, int] = {}
        for topic, partitions in assignment.partitions.items():
            committed = await self._groups.committed(self.group, topic)
            bounds = await self._log.bounds(topic)
            for partition in partitions:
                positions[topic, partition] = committed.get(
                    partition, self._begin((topic, partition), bounds[partition])
                )
        self.assignment, self._positions = assignment, positions
        self._applied = {}
        self._paused &= positions.keys()
        self._turns = deque(sorted(positions))

    def _begin(self, place: Place, bounds: Bounds) -> int:
        """Where a partition without a position begins; what came since this member first had it is not passed over."""
        return bounds.start if self._options.begin == "start" else self._ends.setdefault(place, bounds.end)

    def _fall_out(self) -> None:
        self.assignment = None
        self._applied.clear()

    async def _next(self) -> Batch | None:
        for _ in range(len(self._turns)):
            place = self._turns[0]
            self._turns.rotate(-1)
            if place not in self._paused:
                batch = await self._read(place)
                if batch is not None:
                    return batch
        return None

    async def _read(self, place: Place) -> Batch | None:
        topic, partition = place
        offset = self._positions[place]
        page = await self._log.read(topic, partition, offset, self._options.limit_entries, self._options.limit_bytes)
        if page.start > offset:
            self._lose(place, page.start - offset, page.start)
        self._positions[place] = page.next
        if not page.entries:
            return None
        self._applied[place] = page.next
        return Batch(topic, partition, page.entries, page.next)

    def _lose(self, place: Place, count: int, start: int) -> None:
        if self._options.lost == "refuse":
            topic, partition = place
            raise EntriesLost(
                f"{count} entries of the partition {partition} of {topic!r} are gone that {self.group!r} had not read",
                field="position",
                hint=f"seek to {start}, or use lost='skip'; keep entries longer, or read faster",
            )
        self.skipped += count

    async def _wait(self) -> None:
        positions = [
            Position(topic, partition, offset)
            for (topic, partition), offset in self._positions.items()
            if (topic, partition) not in self._paused
        ]
        beat_ns = self._beat_ns + self._options.session_us * 1_000 // BEATS_PER_SESSION
        if positions:
            await self._log.wait(positions[:WAIT_MAX_POSITIONS], beat_ns)
        else:
            await self._environment.sleep(max(0, beat_ns - self._environment.monotonic_ns()) / 1e9)

    def _was_committed(self, commit: Commit) -> None:
        for topic, partition, offset in commit.positions:
            if self._applied.get((topic, partition)) == offset:
                del self._applied[topic, partition]
