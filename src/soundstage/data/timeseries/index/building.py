"""An index that is being filled from a walk over the slices: which events come next."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from soundstage.core.environment import Environment
from soundstage.data.timeseries import placement
from soundstage.data.timeseries.events import EventKey
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.segments.walking import walk_slice
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.records.port import Budget, Row

WALK = Budget(rows=4_000, bytes=2 << 20)

EVENTS = 4_000
"""After so many a part of the walk ends, or a page later."""


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far an index was filled: all before the `position` in the slice of that table, and all slices before it."""

    name: str
    table: str = ""
    start: int = 0
    position: bytes | None = None
    is_whole: bool = False


class Build:
    """The slices that are to be walked yet, and how far the first was. `noted` is the progress that was noted last."""

    def __init__(
        self, name: str, slices: Sequence[Slice], position: bytes | None = None, noted: Progress | None = None
    ) -> None:
        self.name = name
        self.noted = noted
        self._left = list(slices)
        self._position = position

    @staticmethod
    def resumed(progress: Progress, slices: Sequence[Slice]) -> Build:
        """One that goes on from there, over the `slices` that there are now; of those made since the feed tells too."""
        if progress.is_whole:
            return Build(progress.name, (), noted=progress)
        at = next((at for at, each in enumerate(slices) if each.table == progress.table), None)
        if at is not None:
            return Build(progress.name, slices[at:], progress.position, progress)
        # Dropped meanwhile.
        behind = [each for each in slices if each.start >= progress.start]
        return Build(progress.name, behind, noted=progress)

    @property
    def progress(self) -> Progress:
        """What `resumed` is to be given."""
        if not self._left:
            return Progress(self.name, is_whole=True)
        return Progress(self.name, self._left[0].table, self._left[0].start, self._position)

    @property
    def is_whole(self) -> bool:
        """Whether every slice was walked."""
        return not self._left

    async def part(self, served: ServedNamespace, environment: Environment) -> tuple[list[EventKey], Build]:
        """The events of the next part of the walk, and what is to be done behind it; this one stays as it is."""
        keys, ahead = dict[EventKey, None](), Build(self.name, self._left, self._position, self.noted)
        while ahead._left and len(keys) < EVENTS:
            await ahead._walk(served, environment, keys)
        return list(keys), ahead

    async def _walk(self, served: ServedNamespace, environment: Environment, keys: dict[EventKey, None]) -> None:
        """`keys` has those of another page of the walk."""
        # One that was dropped meanwhile has nothing more; one that was not made yet is told of by the feed.
        held, self._position = await walk_slice(
            served.records,
            served.catalogue,
            served.segments,
            self._left[0].number,
            self._position,
            WALK,
            environment.now_us(),
        )
        for series, rows in held:
            keys.update(dict.fromkeys(_keys(series, rows)))
            await environment.sleep(0)
        if self._position is None:
            self._left = self._left[1:]


def _keys(series: bytes, rows: Sequence[Row]) -> list[EventKey]:
    found, prefix = list[EventKey](), b"\0"
    for key, _ in rows:
        if key.startswith(prefix) and found:
            continue
        prefix = placement.prefix_of(key)
        time_ns, event_id = placement.event_of(prefix)
        found.append(EventKey(series.decode(), time_ns, event_id.decode()))
    return found
