"""The states that a record may have been in while a call was answered.

A write that is under way has been applied or not; each combination is a *world*. An answer is right if it is right in
one of them. Whatever all the worlds agree on that explain an answer is certain from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from soundstage.testing.model import Version
from soundstage.testing.simulation.kv.history import ORIGIN, Record, Write, stamps

WORLDS_MAX = 512
"""Beyond it a record is judged key by key."""


class World:
    """One state. `applied` are the uncertain writes that are part of it, by the times they were stamped with."""

    __slots__ = ("applied", "items", "newest")

    def __init__(self, items: dict[bytes, Version], newest: Version, applied: dict[Write, int]) -> None:
        self.items: dict[bytes, Version] = items
        self.newest: Version = newest
        self.applied: dict[Write, int] = applied


class Worlds:
    """What record `record` may have held at some moment from event `began` on until `ended`.

    `exact` is false when there are too many combinations, or when a write may have been applied in part: then `all`
    is empty, and only `options` tells what each key may have held.
    """

    __slots__ = ("all", "exact", "items", "maybe", "newest")

    def __init__(self, record: Record, began: int, ended: int, *, without: Write | None = None) -> None:
        self.items: dict[bytes, Version] = record.best
        self.newest: Version = record.newest
        self.maybe: list[Write] = []
        certain = [write for write in record.recent if write is not without and write.begun < ended]
        if certain:
            self._split(certain, began)
        self.exact: bool = not any(write.sure_keys is not None for write in self.maybe)
        self.all: Sequence[World] = ()
        if self.exact:
            self._combine(began)

    def options(self, key: bytes) -> set[Version]:
        """Every version that may have been the greatest of `key`."""
        least = self.items.get(key, ORIGIN)
        found = {least}
        for write in self.maybe:
            for time_us in times(write):
                version = write.versions(time_us).get(key, ORIGIN)
                if version > least:
                    found.add(version)
        return found

    def newest_options(self) -> set[Version]:
        """Every version that may have been the greatest of the record."""
        found = {self.newest}
        for write in self.maybe:
            found.update(identity for time_us in times(write) if (identity := write.identity(time_us)) > self.newest)
        return found

    def _split(self, writes: Iterable[Write], began: int) -> None:
        """What is certain is part of `items`; the rest is `maybe`."""
        items, newest = dict(self.items), self.newest
        for write in writes:
            sure = write.sure_at is not None and write.sure_at <= began
            if sure and write.time_us is not None:
                _apply(items, write.versions(write.time_us))
                newest = max(newest, write.identity(write.time_us))
                continue
            if write.sure_keys and write.time_us is not None:
                seen = {key for key, event in write.sure_keys.items() if event <= began}
                _apply(items, {key: write.sent[key] for key in seen})
                if seen:
                    newest = max(newest, write.identity(write.time_us))
            self.maybe.append(write)
        self.items, self.newest = items, newest

    def _combine(self, began: int) -> None:
        choices = [_choices(write, began) for write in self.maybe]
        count = 1
        for each in choices:
            count *= len(each)
        if count > WORLDS_MAX:
            self.exact = False
        else:
            self.all = list(self._worlds(choices))

    def _worlds(self, choices: list[list[int | None]]) -> Iterator[World]:
        for chosen in product(*choices):
            applied = {write: time for write, time in zip(self.maybe, chosen, strict=True) if time is not None}
            if not applied:
                yield World(self.items, self.newest, applied)
                continue
            items, newest = dict(self.items), self.newest
            for write, time_us in applied.items():
                versions, identity = write.stamped(time_us)
                _apply(items, versions)
                newest = identity if identity > newest else newest
            yield World(items, newest, applied)


def times(write: Write) -> set[int]:
    """The times that an uncertain write may have."""
    return stamps(write) if write.time_us is None else {write.time_us}


def _choices(write: Write, began: int) -> list[int | None]:
    found = sorted(times(write))
    # What is certain but for its time is part of every world.
    return [*found] if write.sure_at is not None and write.sure_at <= began else [None, *found]


def _apply(items: dict[bytes, Version], versions: dict[bytes, Version]) -> None:
    known = items.get
    for key, version in versions.items():
        if version > known(key, ORIGIN):
            items[key] = version
