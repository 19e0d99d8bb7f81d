"""What is noted of an index in the table of its namespace: which one is to serve, and of what it was told."""

from __future__ import annotations

import logging

import msgspec

from soundstage.core.errors import PreconditionFailed
from soundstage.data.timeseries.index.building import Progress
from soundstage.data.timeseries.namespace import ServedNamespace

log: logging.Logger = logging.getLogger("soundstage.timeseries")

PARTITION = "index"

NUMBER = "number"
"""The row that counts how often an index was asked for anew."""

FOLLOWED = "followed"
"""The row that says what an index was told of."""

PROGRESS = "progress"
"""The row that says how far the last index that was begun is."""


class Followed(msgspec.Struct, frozen=True, array_like=True):
    """By which topic, and up to which version of the namespace, an index was told of everything."""

    topic: str
    version: int

    def misses(self, later: Followed) -> bool:
        """Whether there may have been a version without an index, or with another, between this and `later`."""
        return self.topic != later.topic or later.version > self.version + 1


async def number_of(served: ServedNamespace) -> int:
    """Which index is to serve, of all that there were."""
    entry = await served.table.get(PARTITION, NUMBER)
    return 0 if entry is None else msgspec.msgpack.decode(entry.value, type=int)


async def rebuild(served: ServedNamespace) -> int:
    """Another index is to serve; its number."""
    entry = await served.table.get(PARTITION, NUMBER)
    number = 1 + (0 if entry is None else msgspec.msgpack.decode(entry.value, type=int))
    stamp = None if entry is None else entry.stamp
    try:
        await served.table.write(PARTITION, {NUMBER: msgspec.msgpack.encode(number)}, {NUMBER: stamp}, onward=True)
    except PreconditionFailed:
        # Somebody else asked for it at the same time.
        return await number_of(served)
    return number


async def follow(served: ServedNamespace, now: Followed, *, missed: bool, is_begun: bool) -> None:
    """What an index was told of is noted. One that is begun, and may have missed something, is asked for anew first."""
    entry = await served.table.get(PARTITION, FOLLOWED)
    before = None if entry is None else msgspec.msgpack.decode(entry.value, type=Followed)
    if is_begun and (missed or (before is not None and before.misses(now))):
        log.warning("an index was not told of everything: it is made anew", extra={"namespace": served.name})
        await rebuild(served)
    if before is None or before.topic != now.topic or before.version < now.version:
        stamp = None if entry is None else entry.stamp
        await served.table.write(PARTITION, {FOLLOWED: msgspec.msgpack.encode(now)}, {FOLLOWED: stamp}, onward=True)


async def progress_of(served: ServedNamespace) -> Progress | None:
    """How far the last index that was begun is; None: none was."""
    entry = await served.table.get(PARTITION, PROGRESS)
    return None if entry is None else msgspec.msgpack.decode(entry.value, type=Progress)


async def note_progress(served: ServedNamespace, now: Progress, before: Progress | None) -> Progress:
    """`now` is noted, and returned. Raises `PreconditionFailed` unless `before` was: another process is at it."""
    entry = await served.table.get(PARTITION, PROGRESS)
    noted = None if entry is None else msgspec.msgpack.decode(entry.value, type=Progress)
    if noted != before:
        raise PreconditionFailed("another process fills the index")
    stamp = None if entry is None else entry.stamp
    await served.table.write(PARTITION, {PROGRESS: msgspec.msgpack.encode(now)}, {PROGRESS: stamp}, onward=True)
    return now
