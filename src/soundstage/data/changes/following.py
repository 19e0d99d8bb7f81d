"""Follows the changes of a namespace, from any place in its log that is still kept.

A cursor names the namespace's generation and, for every part of the log, the offset from which to go on. The changes of
one key are all in one part, in the order in which they were written; between parts there is no order.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.core.feed import Position
from soundstage.core.limits import check_id
from soundstage.core.message import Instant
from soundstage.data.changes.topics import ChangeTopic
from soundstage.engines.log import port
from soundstage.engines.log.arrivals import partition_of
from soundstage.engines.log.port import Bounds, Log, LogPage, Stored
from soundstage.runtime.service import NamespaceView

PAGE_ENTRIES = 256
PAGE_BYTES = 1 << 20
"""Read at once for one who follows: memory is bounded by it."""

LOOK_NS = 5_000_000_000
"""How long one who waits goes without a look at whether the namespace is still there."""

_CURSOR = re.compile(r"[0-9]{1,15}(-[0-9]{1,19}){1,32}")


class Told(Protocol):
    """A message of a feed."""

    @property
    def cursor(self) -> str: ...


M = TypeVar("M", bound=Told)


class Watched(Protocol):
    """A namespace as it is served now. `changes` None: they are not kept."""

    @property
    def view(self) -> NamespaceView: ...

    @property
    def changes(self) -> ChangeTopic | None: ...


class Asked(NamedTuple, Generic[M]):
    """From where somebody follows what: changes of `key` alone, if it is given, and those that are `wanted`.

    `messages_of` is what an entry tells, in order and without cursors.
    """

    cursor: str | None
    since: Instant | None
    key: str | None
    messages_of: Callable[[Stored], Sequence[M]]
    wanted: Callable[[M], bool]


class Follower(Generic[M]):
    """One who follows; `served` gives the namespace as it is now, and raises once it is gone."""

    def __init__(self, asked: Asked[M], served: Callable[[], Watched], environment: Environment) -> None:
        self._asked = asked
        self._served = served
        self._environment = environment
        first = served().view
        self._generation = first.generation
        self._changes = _kept(served(), first.name)
        self._parts: Sequence[int] = range(self._changes.partitions)
        if asked.key is not None:
            self._parts = (partition_of(check_id(asked.key), self._changes.partitions),)
        self._offsets: list[int] = []

    async def messages(self) -> AsyncGenerator[M | Position]:
        """What was written after the cursor, as it is written; ends only by being closed, or by an error."""
        log = await self._changes.open()
        self._offsets = await self._beginning(log)
        yield Position(self._cursor())
        while True:
            moved = told = False
            for part in self._parts:
                page = await self._read(log, part)
                for entry in page.entries:
                    messages = [each for each in self._asked.messages_of(entry) if self._asked.wanted(each)]
                    for number, message in enumerate(messages, 1):
                        # Cut off between two messages of one entry, who follows gets both again.
                        if number == len(messages):
                            self._offsets[part] = entry.offset + 1
                        yield cast(M, msgspec.structs.replace(cast(Any, message), cursor=self._cursor()))
                        told = True
                moved |= page.next > self._offsets[part] or bool(page.entries)
                self._offsets[part] = page.next
            if moved and not told:
                yield Position(self._cursor())
            if not moved:
                await self._news(log)
            self._check_there()

    async def _read(self, log: Log, part: int) -> LogPage:
        offset = self._offsets[part]
        page = await log.read(self._changes.topic, part, offset, PAGE_ENTRIES, PAGE_BYTES)
        if page.start > offset:
            raise _forgotten(self._generation, await log.bounds(self._changes.topic))
        return page

    async def _news(self, log: Log) -> None:
        """There is something to read, or it is time to look at the namespace."""
        positions = [port.Position(self._changes.topic, part, self._offsets[part]) for part in self._parts]
        try:
            await log.wait(positions, self._environment.monotonic_ns() + LOOK_NS)
        except NotFound:
            self._check_there()
            raise

    def _check_there(self) -> None:
        name = self._served().view
        if name.generation != self._generation:
            raise NotFound(
                f"the namespace {name.name!r} was deleted; another one has its name now",
                field="namespace",
                hint="follow that one without a cursor",
            )

    async def _beginning(self, log: Log) -> list[int]:
        """The offset to begin with in every part. Raises `InvalidArgument` for a cursor that leads nowhere."""
        bounds = await log.bounds(self._changes.topic)
        cursor, since = self._asked.cursor, self._asked.since
        if cursor == "0":
            return [each.start for each in bounds]
        if cursor is not None:
            return self._given(cursor, bounds)
        if since is None:
            return [each.end for each in bounds]
        topic = self._changes.topic
        return [await log.offset_at(topic, part, max(0, since.us)) for part in range(len(bounds))]

    def _given(self, cursor: str, bounds: Sequence[Bounds]) -> list[int]:
        if not _CURSOR.fullmatch(cursor):
            raise _no_cursor(cursor)
        generation, *offsets = map(int, cursor.split("-"))
        if generation != self._generation or len(offsets) != len(bounds):
            raise _no_cursor(cursor)
        if any(offset > each.end for offset, each in zip(offsets, bounds, strict=True)):
            raise _no_cursor(cursor)
        if any(offsets[part] < bounds[part].start for part in self._parts):
            raise _forgotten(self._generation, bounds)
        return offsets

    def _cursor(self) -> str:
        return _cursor_of(self._generation, self._offsets)


def _kept(served: Watched, name: str) -> ChangeTopic:
    if served.changes is None:
        raise InvalidArgument(
            f"the changes of the namespace {name!r} are not kept",
            field="namespace",
            hint="its knob watch is false and fixed: make a namespace where it is true",
        )
    return served.changes


def _cursor_of(generation: int, offsets: Sequence[int]) -> str:
    return "-".join(map(str, (generation, *offsets)))


def _no_cursor(cursor: str) -> InvalidArgument:
    return InvalidArgument(
        f"the cursor {cursor[:80]!r} is none of this feed",
        field="cursor",
        hint='send the cursor of a message as it came, "0" for everything that is kept, or none for what comes',
    )


def _forgotten(generation: int, bounds: Sequence[Bounds]) -> InvalidArgument:
    oldest = _cursor_of(generation, [each.start for each in bounds])
    return InvalidArgument(
        "changes after the cursor are not kept any more, and so were missed",
        field="cursor",
        hint=f'read the namespace as it is, then follow from "{oldest}"; its knobs are watch_retention and watch_bytes',
    )
