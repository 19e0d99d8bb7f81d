"""The core workloads of YCSB: which calls, of which records, in which proportions.

As published with YCSB (B. F. Cooper et al., Benchmarking Cloud Serving Systems with YCSB, SoCC 2010): records of ten
fields of 100 bytes, reads of all fields, updates of one. Records are drawn by a zipfian distribution with constant
0.99 whose popular ones are scattered over all by a hash; in D the latest are the popular ones. Scans of E are of up to
100 of a record's items in the order of their keys: the posts of a conversation, which is the example that YCSB gives.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal, NamedTuple

FIELDS = 10
FIELD_BYTES = 100
SCAN_MAX = 100
ZIPFIAN = 0.99

UNANSWERED = 32
"""Records inserted last are not asked for: with as many callers they may not be there yet."""

Kind = Literal["read", "update", "insert", "scan", "modify"]


class Operation(NamedTuple):
    """One call: of which record, how many items a scan reads."""

    kind: Kind
    record: int
    field: int = 0
    length: int = 0


class Workload(NamedTuple):
    """Shares of the kinds of calls, which make 1."""

    shares: dict[Kind, float]
    latest: bool = False


WORKLOADS = {
    "a": Workload({"read": 0.5, "update": 0.5}),
    "b": Workload({"read": 0.95, "update": 0.05}),
    "c": Workload({"read": 1.0}),
    "d": Workload({"read": 0.95, "insert": 0.05}, latest=True),
    "e": Workload({"scan": 0.95, "insert": 0.05}),
    "f": Workload({"read": 0.5, "modify": 0.5}),
    "u": Workload({"update": 1.0}),
}
"""A to F, and `u`, which is none of YCSB's: updates only."""


class Zipfian:
    """Ranks from 0, which is the most popular, to below `count`; after Gray et al., SIGMOD 1994."""

    def __init__(self, count: int, chance: random.Random, constant: float = ZIPFIAN) -> None:
        self._chance = chance
        self._count = count
        self._zeta = sum(1 / (rank + 1) ** constant for rank in range(count))
        self._zeta_2 = 1 + 0.5**constant
        self._alpha = 1 / (1 - constant)
        self._eta = (1 - (2 / count) ** (1 - constant)) / (1 - self._zeta_2 / self._zeta)

    def rank(self) -> int:
        """One drawn."""
        drawn = self._chance.random()
        scaled = drawn * self._zeta
        if scaled < 1:
            return 0
        if scaled < self._zeta_2:
            return 1
        return min(self._count - 1, int(self._count * (self._eta * drawn - self._eta + 1) ** self._alpha))


def scattered(rank: int, count: int) -> int:
    """Where the popular ones are: FNV-1a of 64 bits of the rank, modulo `count`."""
    hashed = 0xCBF29CE484222325
    for byte in rank.to_bytes(8, "little"):
        hashed = ((hashed ^ byte) * 0x100000001B3) & (2**64 - 1)
    return hashed % count


class Draw:
    """Operations of one workload on a store that has `records` records; those it inserts count from there on."""

    def __init__(self, workload: Workload, records: int, seed: int) -> None:
        self._workload = workload
        self._chance = random.Random(seed)
        self._zipfian = Zipfian(records, self._chance)
        self._first = self.records = records

    def operations(self, count: int) -> Iterator[Operation]:
        """So many, one after the other."""
        kinds, shares = list(self._workload.shares), list(self._workload.shares.values())
        for kind in self._chance.choices(kinds, shares, k=count):
            yield self._operation(kind)

    def _operation(self, kind: Kind) -> Operation:
        if kind == "insert":
            self.records += 1
            return Operation(kind, self.records - 1)
        field = self._chance.randrange(FIELDS)
        length = self._chance.randint(1, SCAN_MAX) if kind == "scan" else 0
        return Operation(kind, self._record(), field, length)

    def _record(self) -> int:
        if self._workload.latest:
            return max(0, self.records - 1 - UNANSWERED - self._zipfian.rank())
        return scattered(self._zipfian.rank(), self._first)


def field_names() -> list[bytes]:
    """Of a record."""
    return [b"field%d" % number for number in range(FIELDS)]


def value_of(seed: int) -> bytes:
    """A field's value, not to be compressed away."""
    return random.Random(seed).randbytes(FIELD_BYTES)


def conversation_of(post: int) -> tuple[int, int]:
    """The conversation and the place in it of a post, of which a conversation has as many as a scan reads at most."""
    return divmod(post, SCAN_MAX)
