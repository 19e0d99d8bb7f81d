"""What stored data means, written a second time: plain, slow, and without the code it is to check.

A record is the set of versions it was ever given. Nothing is resolved when it is written and nothing is ever
purged; what a reader sees is computed from the whole set. Engines and stores must give the same answers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec

PUT, DELETE = 0, 1

Refusal: TypeAlias = Literal["precondition_failed", "token_reused", "unavailable"]
"""Code of the error that a conditional write ends with."""

Range: TypeAlias = tuple[bytes, bytes | None]
"""Start, inclusive, and end, exclusive; None reaches to the last key."""


class Put(NamedTuple):
    """What a write puts under a key. `expires_us` 0: never."""

    value: bytes
    expires_us: int = 0
    metadata: bytes = b""


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One write to one record: puts, deleted keys, deleted ranges and, with `whole`, the deleted record."""

    token: str
    time_us: int
    puts: Mapping[bytes, Put] = {}
    markers: Sequence[bytes] = ()
    ranges: Sequence[Range] = ()
    whole: bool = False


class Version(NamedTuple):
    """A put or a delete under a token. Its order is that of `rank`, not of the tuple."""

    time_us: int
    kind: int
    token: str
    expires_us: int = 0
    metadata: bytes = b""
    value: bytes = b""

    def rank(self) -> tuple[int, int, bytes, bytes]:
        """The greater of two ranks wins."""
        lengths = self.expires_us.to_bytes(8, "big") + len(self.metadata).to_bytes(4, "big")
        return self.time_us, self.kind, self.token.encode(), lengths + self.metadata + self.value

    def is_live(self, now_us: int) -> bool:
        return self.kind == PUT and (self.expires_us == 0 or now_us < self.expires_us)


class Stamp(NamedTuple):
    """Time and token of a version."""

    time_us: int
    token: str


class Condition(NamedTuple):
    """The item `key`, or the record where it is None, is at `stamp`, or absent where that is None."""

    key: bytes | None
    stamp: Stamp | None


class Record:
    """Everything that a record was ever given."""

    def __init__(self) -> None:
        self.versions: dict[bytes, set[Version]] = {}
        self.ranges: set[tuple[Range, Version]] = set()
        self.deletes: set[Version] = set()
        self.ledger: dict[str, tuple[int, bytes]] = {}

    def accept(self, write: Write, time_us: int) -> None:
        """The versions of `write` at `time_us` are in the set."""
        deleted = Version(time_us, DELETE, write.token)
        for key, (value, expires_us, metadata) in write.puts.items():
            self.versions.setdefault(key, set()).add(Version(time_us, PUT, write.token, expires_us, metadata, value))
        for key in write.markers:
            self.versions.setdefault(key, set()).add(deleted)
        self.ranges.update((each, deleted) for each in write.ranges)
        if write.whole:
            self.deletes.add(deleted)

    def range_deletes(self, key: bytes) -> Iterator[Version]:
        """The deleted ranges over `key`."""
        return (found for (start, end), found in self.ranges if start <= key and (end is None or key < end))

    def winner(self, key: bytes) -> Version | None:
        """The greatest version of the item and of the deletes over it."""
        contenders = [*self.versions.get(key, ()), *self.range_deletes(key), *self.deletes]
        return max(contenders, key=Version.rank, default=None)

    def newest(self) -> Version | None:
        """The greatest version that the record ever accepted."""
        accepted = {found for versions in self.versions.values() for found in versions}
        accepted |= {found for _, found in self.ranges} | self.deletes
        return max(accepted, key=Version.rank, default=None)

    def items(self, now_us: int) -> dict[bytes, Version]:
        """The live items at `now_us`, in the order of their keys."""
        winners = ((key, self.winner(key)) for key in sorted(self.versions))
        return {key: found for key, found in winners if found is not None and found.is_live(now_us)}

    def stamp(self) -> Stamp | None:
        newest = self.newest()
        return None if newest is None else Stamp(newest.time_us, newest.token)

    def holds(self, condition: Condition, now_us: int) -> bool:
        """Whether `condition` is true at `now_us`."""
        items = self.items(now_us)
        if condition.key is None:
            return not items if condition.stamp is None else condition.stamp == self.stamp()
        found = items.get(condition.key)
        return condition.stamp == (None if found is None else Stamp(found.time_us, found.token))


class Model:
    """Records by any name."""

    def __init__(self) -> None:
        self.records: dict[Hashable, Record] = {}

    def record(self, name: Hashable) -> Record:
        """The record of that name; one without versions for a name never written."""
        return self.records.get(name, Record())

    def apply(self, name: Hashable, write: Write) -> int | Refusal:
        """`write` is accepted; returns its time. One under the token of a conditional write is refused."""
        known = self.record(name).ledger.get(write.token)
        if known is not None and write.time_us <= known[0]:
            return "token_reused"
        self.records.setdefault(name, Record()).accept(write, write.time_us)
        return write.time_us

    def apply_if(
        self,
        name: Hashable,
        write: Write,
        conditions: Sequence[Condition],
        digest: bytes,
        limit_us: int,
        now_us: int,
    ) -> int | Refusal:
        """The time that `write` was stamped with, now or at its first arrival, or why it is refused."""
        record = self.record(name)
        known = record.ledger.get(write.token)
        if known is not None:
            return known[0] if known[1] == digest else "token_reused"
        if not all(record.holds(condition, now_us) for condition in conditions):
            return "precondition_failed"
        newest = record.newest()
        time_us = write.time_us if newest is None else max(write.time_us, newest.time_us + 1)
        if time_us > limit_us:
            return "unavailable"
        accepted = self.records.setdefault(name, record)
        accepted.accept(write, time_us)
        accepted.ledger[write.token] = (time_us, digest)
        return time_us

    def items(self, name: Hashable, now_us: int, start: bytes = b"", end: bytes | None = None) -> dict[bytes, Version]:
        """The live items with start <= key < end, in the order of their keys."""
        found = self.record(name).items(now_us)
        return {key: each for key, each in found.items() if start <= key and (end is None or key < end)}

    def stamp(self, name: Hashable) -> Stamp | None:
        """Time and token of the greatest version that the record ever accepted."""
        return self.record(name).stamp()
