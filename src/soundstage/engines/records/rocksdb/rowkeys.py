"""How rows are laid out in the ordered database. Part of the disk format.

    table number (4) | xxh3-64 of the partition (8) | escaped partition | 00 00 | head row
    table number (4) | xxh3-64 of the partition (8) | escaped partition | 00 01 | key -> cell

Head rows of a partition: `h` the header, `r` + start a range tombstone, `l` + token a ledger entry. A NUL of
the partition is escaped as 00 FF, so that no partition is a prefix of another one's rows. The hash spreads
partitions evenly, which makes a segment of a walk a range of it.

The family `due` holds what the sweeper has to look at, in order of time for each table:

    table number (4) | due time in us (8) | rest of the row key -> time of the cell in us (8)
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from xxhash import xxh3_64_digest

NUMBER = Struct(">I")
TIME = Struct(">Q")

HEAD = b"\0\0"
ITEMS = b"\0\1"
AFTER_ITEMS = b"\0\2"

HEADER = b"h"
RANGE = b"r"
AFTER_RANGES = b"s"
LEDGER = b"l"

_HASH_AT = NUMBER.size
_PARTITION_AT = _HASH_AT + 8
_DUE_ROW_AT = NUMBER.size + TIME.size


class RowKey(NamedTuple):
    """A row key taken apart. `prefix` is what all rows of the partition share."""

    prefix: bytes
    partition: bytes
    is_item: bool
    rest: bytes


def prefix_of(number: bytes, partition: bytes) -> bytes:
    """What every row of a partition begins with; `number` is the table's, packed."""
    escaped = partition.replace(b"\0", b"\0\xff") if b"\0" in partition else partition
    return number + xxh3_64_digest(partition) + escaped


def parse(raw: bytes) -> RowKey:
    """The parts of a row key as stored; `ValueError` for one that is none."""
    end = raw.index(b"\0", _PARTITION_AT)
    while raw[end + 1 : end + 2] == b"\xff":
        end = raw.index(b"\0", end + 2)
    if raw[end : end + 2] not in (HEAD, ITEMS):
        raise ValueError(f"no row has the key {raw!r}")
    partition = raw[_PARTITION_AT:end].replace(b"\0\xff", b"\0")
    return RowKey(raw[:end], partition, raw[end + 1] == 1, raw[end + 2 :])


def due_key(due_us: int, row_key: bytes) -> bytes:
    """The entry that brings a row before the sweeper at `due_us`."""
    return row_key[: NUMBER.size] + TIME.pack(due_us) + row_key[NUMBER.size :]


def parse_due(entry: bytes) -> tuple[int, bytes]:
    """When an entry is due, and the key of its row."""
    return TIME.unpack_from(entry, NUMBER.size)[0], entry[: NUMBER.size] + entry[_DUE_ROW_AT:]


def next_number(number: bytes) -> bytes:
    """The first byte string after all rows of a table."""
    return NUMBER.pack(NUMBER.unpack(number)[0] + 1)


def hash_bound(number: bytes, hashed: int) -> bytes:
    """Where the rows of a table from the hash `hashed` on begin."""
    return next_number(number) if hashed >= 1 << 64 else number + TIME.pack(hashed)
