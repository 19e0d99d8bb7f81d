"""What was read of a namespace, added up: counts, and a sum over what lasts.

The sum is over single rows, so that it does not depend on the order in which an engine has them. It leaves out
what may be gone by the time that the other side is added up: deleted rows, and puts that expire within an hour
of `at_us`.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from soundstage.core import version
from soundstage.engines.records.port import Row

LASTS_US = 3_600_000_000

_MODULUS = 1 << 256
_NOTHING = bytes(32)


class Tally(msgspec.Struct, omit_defaults=True):
    """`records` counts those of which anything is kept, `items` the rows that last, `size` bytes of all rows."""

    records: int = 0
    items: int = 0
    size: int = 0
    sum: bytes = _NOTHING

    def add(self, other: Tally) -> None:
        """What `other` counted is counted here too."""
        self.records += other.records
        self.items += other.items
        self.size += other.size
        self.sum = _added(self.sum, int.from_bytes(other.sum, "big"))

    def take(self, table: int, partition: bytes, rows: Iterable[Row], at_us: int) -> None:
        """Rows of a partition of the table of that number are counted."""
        head = b"%d %d " % (table, len(partition)) + partition
        total = 0
        for key, cell in rows:
            self.size += len(key) + len(cell)
            if lasts(cell, at_us):
                self.items += 1
                total += int.from_bytes(sha256(b"%b%d " % (head, len(key)) + key + cell).digest(), "big")
        self.sum = _added(self.sum, total)

    def agrees(self, other: Tally) -> bool:
        """Whether the same lasting rows were counted."""
        return (self.items, self.sum) == (other.items, other.sum)


def lasts(cell: bytes, at_us: int) -> bool:
    """Whether a row is a put that will still be there when `at_us` is an hour ago."""
    if version.is_delete(cell):
        return False
    expires_us = version.expires_us(cell)
    return expires_us == 0 or expires_us > at_us + LASTS_US


def _added(one: bytes, number: int) -> bytes:
    return ((int.from_bytes(one, "big") + number) % _MODULUS).to_bytes(32, "big")
