"""What was sent to a namespace of kv under simulation, and what may be read of it.

Each write is repeated until it is acknowledged, so that in the end it is known what the namespace holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from soundstage.core.message import IdempotencyToken
from soundstage.data.kv.api import Item, MatchAll, MatchKeys, Predicate
from soundstage.testing.simulation.scenario import Divergence

Version: TypeAlias = tuple[int, int, str]
"""Time, kind and token of a write, in the order in which versions beat each other."""


def version_of(item: Item) -> Version:
    """The version of an item that was read."""
    token = item.metadata.token
    return token.generation_time.us, 0, token.token


def predicate_of(keys: Sequence[bytes]) -> Predicate:
    """What a delete of these keys is of; of none: everything."""
    return Predicate(match_keys=MatchKeys(keys=list(keys))) if keys else Predicate(match_all=MatchAll())


@dataclass
class Written:
    """A write that was sent; `record` None: a truncation. `began` and `ended` are by one count of all events."""

    token: str
    time_us: int
    deletes: bool
    record: str | None
    keys: tuple[bytes, ...]
    began: int
    ended: int | None = None

    @property
    def version(self) -> Version:
        return self.time_us, int(self.deletes), self.token

    def covers(self, record: str, key: bytes) -> bool:
        return self.record is None or (self.record == record and (not self.keys or key in self.keys))


class Writings:
    """All that was sent, in the order in which it was."""

    def __init__(self) -> None:
        self.all: list[Written] = []
        self._events = 0

    def begin(self, token: IdempotencyToken, deletes: bool, record: str | None, keys: tuple[bytes, ...]) -> Written:
        """A write is about to be sent under the token."""
        self._events += 1
        written = Written(token.token, token.generation_time.us, deletes, record, keys, self._events)
        self.all.append(written)
        return written

    def end(self, written: Written) -> None:
        """It was acknowledged."""
        self._events += 1
        written.ended = self._events

    def acknowledged(self) -> list[Written]:
        """Those that whoever begins to read now has to be shown, or what came after them."""
        return [each for each in self.all if each.ended is not None]

    def judge(self, record: str, key: bytes, found: Version | None, acknowledged: Sequence[Written]) -> None:
        """Raise `Divergence` for an item that what was `acknowledged` before it was asked for does not allow."""
        known = [each.version for each in acknowledged if each.covers(record, key)]
        covering = [each for each in self.all if each.covers(record, key)]
        if found is None:
            puts = [each.version for each in acknowledged if each.covers(record, key) and not each.deletes]
            if puts and not any(each.deletes and each.version > max(puts) for each in covering):
                raise Divergence(f"{record}/{key!r} lacks {max(puts)}, and nothing after it was deleted")
            return
        if found not in [each.version for each in covering if not each.deletes]:
            raise Divergence(f"{record}/{key!r} is of {found}, which nobody wrote")
        if known and found < max(known):
            raise Divergence(f"{record}/{key!r} is of {found}, and {max(known)} was acknowledged")
