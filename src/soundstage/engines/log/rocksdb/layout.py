"""How entries are laid out in the family `log` of the ordered database. Part of the disk format.

    topic number (4) | partition (4) | first offset (8) -> row of entries
    topic number (4) | FF FF FF FF | h partition (4) -> head of a partition
    topic number (4) | FF FF FF FF | l token -> what an append under a token answered
    topic number (4) | FF FF FF FF | x time (8) token -> nothing; when a token is forgotten
    topic number (4) | FF FF FF FF | p group 00 partition (4) -> position
    00 00 00 00 | t name -> topic
    00 00 00 00 | g name -> the generation of a group
    00 00 00 00 | n -> the next topic's number

A row holds entries that were appended together, up to 64 KiB, unless one alone is larger: it begins with the bytes
that the partition had been given before it, the time of its first entry and the bytes of its entries, and is then a
list of `Stored` in MessagePack. Compaction takes entries out of rows and leaves what a row begins with, but its bytes,
as it was; so times and bytes grow from row to row, and both are found by halving.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

import msgspec

from soundstage.engines.log.arrivals import size_of
from soundstage.engines.log.port import Entry, Spot, Stored, TopicSpec

FAMILY = "log"

ROW_BYTES = 64 << 10
"""A row is decoded in one go, which must not take long."""

TOPIC_FORMAT = 1
"""Of the rows of a topic. Newer ones refuse the folder."""

NUMBER = Struct(">I")
OFFSET = Struct(">Q")
_HEAD_OF_ROW = Struct(">QQI")
_SIZE = Struct(">I")
_SIZE_AT = _HEAD_OF_ROW.size - _SIZE.size
_PARTITION_LAST = 0xFFFFFFFF

CATALOGUE = NUMBER.pack(0)
TOPICS = CATALOGUE + b"t"
AFTER_TOPICS = CATALOGUE + b"u"
NEXT = CATALOGUE + b"n"
GROUPS = CATALOGUE + b"g"
AFTER_GROUPS = CATALOGUE + b"h"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Stored]).decode


class Head(msgspec.Struct, array_like=True, frozen=True):
    """What is known of a partition though its rows may be gone, as of when it was written.

    Rows before `floor` are deleted. `given` is the bytes that were ever appended, `skipped` those before `start`.
    Before `cleaned` no key has two of the `kept` entries.
    """

    start: int = 0
    end: int = 0
    last_us: int = 0
    floor: int = 0
    given: int = 0
    skipped: int = 0
    cleaned: int = 0
    kept: int = 0


class TopicEntry(msgspec.Struct, frozen=True):
    """A topic as the catalogue keeps it. `hidden` ones are being restored and serve nobody."""

    number: int
    spec: TopicSpec
    hidden: bool = False
    format: int = TOPIC_FORMAT


class Remembered(msgspec.Struct, array_like=True, frozen=True):
    """What an append under a token answered."""

    time_us: int
    digest: bytes
    spots: list[Spot]


class RowHead(NamedTuple):
    """What a row begins with: `before` it the partition was given so many bytes; `size` is that of its entries."""

    before: int
    first_us: int
    size: int


def partition_prefix(number: bytes, partition: int) -> bytes:
    """What all rows of entries of a partition begin with."""
    return number + NUMBER.pack(partition)


def aside(number: bytes) -> bytes:
    """What all other rows of a topic begin with; they follow those of its entries."""
    return number + NUMBER.pack(_PARTITION_LAST)


def head_key(number: bytes, partition: int) -> bytes:
    return aside(number) + b"h" + NUMBER.pack(partition)


def token_key(number: bytes, token: bytes) -> bytes:
    return aside(number) + b"l" + token


def forgetting(number: bytes) -> bytes:
    """What the rows begin with that say when tokens are forgotten."""
    return aside(number) + b"x"


def positions(number: bytes, group: str) -> bytes:
    """What the positions of a group in a topic begin with."""
    return aside(number) + b"p" + group.encode() + b"\0"


def next_number(number: bytes) -> bytes:
    """The first byte string after all rows of a topic."""
    return NUMBER.pack(NUMBER.unpack(number)[0] + 1)


def row_of(before: int, first_us: int, entries: Sequence[Stored]) -> bytes:
    """A row; `entries` may be some of those it was made with."""
    return _HEAD_OF_ROW.pack(before, first_us, sum(map(size_of, entries))) + _encode(entries)


def head_of_row(row: bytes) -> RowHead:
    return RowHead(*_HEAD_OF_ROW.unpack_from(row))


def size_of_row(row: bytes) -> int:
    """The bytes of a row's entries."""
    return _SIZE.unpack_from(row, _SIZE_AT)[0]


def entries_of(row: bytes) -> list[Stored]:
    """The entries of a row. Raises msgspec's error for what is none."""
    return _decode(memoryview(row)[_HEAD_OF_ROW.size :])


class Drafted(NamedTuple):
    """Rows to write, and what the partition is once they are written."""

    rows: list[tuple[int, bytes]]
    end: int
    last_us: int
    given: int


def draft(entries: Sequence[Entry], end: int, last_us: int, given: int, now_us: int) -> Drafted:
    """Rows that hold `entries`, from the offset `end` on."""
    rows: list[tuple[int, bytes]] = []
    taken: list[Stored] = []
    size = first_us = 0
    for entry in entries:
        weight = size_of(entry)
        if taken and size + weight > ROW_BYTES:
            rows.append((taken[0].offset, _HEAD_OF_ROW.pack(given, first_us, size) + _encode(taken)))
            given += size
            taken, size = [], 0
        last_us = max(last_us, now_us if entry.time_us is None else entry.time_us)
        if not taken:
            first_us = last_us
        taken.append(Stored(end, last_us, entry.key, entry.value, entry.headers))
        size += weight
        end += 1
    rows.append((taken[0].offset, _HEAD_OF_ROW.pack(given, first_us, size) + _encode(taken)))
    return Drafted(rows, end, last_us, given + size)
