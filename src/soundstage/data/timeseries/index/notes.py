"""What is noted of an index in the table of its namespace: which one is to serve, and of what it was told."""

from __future__ import annotations

import logging
from typing import TypeVar

import msgspec

from soundstage.core.errors import PreconditionFailed
from soundstage.data.timeseries.index.building import Progress
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.engines.records.port import Stamp

T = TypeVar("T")

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
    number, _ = await _noted(served, NUMBER, int)
    return number or 0


async def rebuild(served: ServedNamespace) -> int:
    """Another index is to serve; its number."""
    before, stamp = await _noted(served, NUMBER, int)
    number = 1 + (before or 0)
    try:
        await _note(served, NUMBER, number, stamp)
    except PreconditionFailed:
        # Somebody else asked for it at the same time.
        return await number_of(served)
    return number


async def follow(served: ServedNamespace, now: Followed, *, missed: bool, is_begun: bool) -> None:
    """What an index was told of is noted. One that is begun, and may have missed something, is asked for anew first."""
    before, stamp = await _noted(served, FOLLOWED, Followed)
    if is_begun and (missed or (before is not None and before.misses(now))):
        log.warning("an index was not told of everything: it is made anew", extra={"namespace": served.name})
        await rebuild(served)
    if before is None or before.topic != now.topic or before.version < now.version:
        await _note(served, FOLLOWED, now, stamp)


async def progress_of(served: ServedNamespace) -> Progress | None:
    """How far the last index that was begun is; None: none was."""
    progress, _ = await _noted(served, PROGRESS, Progress)
    return progress


async def note_progress(served: ServedNamespace, now: Progress, before: Progress | None) -> Progress:
    """`now` is noted, and returned. Raises `PreconditionFailed` unless `before` was: another process is at it."""
    noted, stamp = await _noted(served, PROGRESS, Progress)
    if noted != before:
        raise PreconditionFailed("another process fills the index")
    await _note(served, PROGRESS, now, stamp)
    return now


async def _noted(served: ServedNamespace, row: str, kind: type[T]) -> tuple[T | None, Stamp | None]:
    """What the row has, and the write it is from; None where there is none."""
    entry = await served.table.get(PARTITION, row)
    return (None, None) if entry is None else (msgspec.msgpack.decode(entry.value, type=kind), entry.stamp)


async def _note(served: ServedNamespace, row: str, value: object, before: Stamp | None) -> None:
    """The row has the value. Raises `PreconditionFailed` unless it is of the write `before`."""
    await served.table.write(PARTITION, {row: msgspec.msgpack.encode(value)}, {row: before}, onward=True)
