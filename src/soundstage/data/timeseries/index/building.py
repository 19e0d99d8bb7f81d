"""An index that is being filled from a walk over the slices: which events come next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from soundstage.core.environment import Environment
from soundstage.data.timeseries import placement
from soundstage.data.timeseries.api import Event
from soundstage.data.timeseries.events import EventKey
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.reads import event_from
from soundstage.data.timeseries.segments.walking import Held, walk_slice
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.records.port import Budget, Row

WALK = Budget(rows=4_000, bytes=2 << 20)

EVENTS = 4_000
"""After so many a part of the walk ends, or a page later."""

HELD_BYTES = 8 << 20
"""Of events that a part has, after which it ends too."""

YIELD_EVERY = 128
"""Events of a page between two turns of others."""

Part = dict[EventKey, Event | None]
"""What a part of a walk came to: events by their keys; None for one that may have more than was seen of it."""


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

    async def part(self, served: ServedNamespace, environment: Environment) -> tuple[Part, Build]:
        """The events of the next part of the walk, and what is to be done behind it; this one stays as it is."""
        part, ahead, size = Part(), Build(self.name, self._left, self._position, self.noted), 0
        while ahead._left and len(part) < EVENTS and size < HELD_BYTES:
            size += await ahead._walk(served, environment, part)
        return part, ahead

    async def _walk(self, served: ServedNamespace, environment: Environment, part: Part) -> int:
        """`part` has the events of another page of the walk; returns the bytes that this had."""
        number = self._left[0].number
        found = served.catalogue.numbered(number)
        # One that was dropped meanwhile has nothing more; one that was not made yet is told of by the feed.
        held, self._position = await walk_slice(
            served.records,
            served.catalogue,
            served.segments,
            number,
            self._position,
            WALK,
            environment.now_us(),
        )
        # What lies in several places comes several times, each time a part of it.
        is_alone, size = found is not None and len(found.sources) == 1, 0
        for at, (series, prefix, rows, is_within) in enumerate(_events(held)):
            time_ns, event_id = placement.event_of(prefix)
            key = EventKey(series.decode(), time_ns, event_id.decode())
            is_whole = is_alone and is_within and key not in part
            part[key] = event_from(series, prefix, rows) if is_whole else None
            size += sum(len(name) + len(cell) for name, cell in rows)
            if at % YIELD_EVERY == 0:
                await environment.sleep(0)
        if self._position is None:
            self._left = self._left[1:]
        return size


def _events(held: Held) -> Iterator[tuple[bytes, bytes, list[Row], bool]]:
    """The series, prefixes and rows of all events of a page, and whether no page before or behind has more of one."""
    for number, (series, rows) in enumerate(held):
        first = 0
        while first < len(rows):
            prefix, behind = placement.prefix_of(rows[first][0]), first + 1
            while behind < len(rows) and rows[behind][0].startswith(prefix):
                behind += 1
            is_first = number == 0 and first == 0
            is_last = number == len(held) - 1 and behind == len(rows)
            yield series, prefix, rows[first:behind], not (is_first or is_last)
            first = behind
