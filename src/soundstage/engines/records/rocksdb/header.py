"""What a partition remembers besides its rows: its greatest version and its tombstones."""

from __future__ import annotations

import msgspec

from soundstage.core import version
from soundstage.engines.records import tombstones
from soundstage.engines.records.port import KEY_CEILING, Cell, Stamp
from soundstage.engines.records.tombstones import Fragments


class HeaderMark:
    """The port's `Mark`: an object of its own, so that who keeps it keeps no header alive."""

    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current: bool = True


class Header(msgspec.Struct, gc=False):
    """Replaced whole by every write, so that a read that goes on for long keeps the one it began with.

    Nothing in it changes, but for what readers asked for first: `told`, the stamp, and `mark`, which ends when the
    header is replaced or forgotten.

    `newest` is the identity of the greatest version ever accepted. `covered` says whether any tombstone is
    there, so that most reads ask no further. No item row lies below `low` or from `high` on: who trims a
    record at one end, as keeping the newest does, never makes readers pass what was trimmed.
    """

    newest: bytes
    partition: Cell | None = None
    ranges: Fragments = ()
    low: bytes = KEY_CEILING
    high: bytes = b""
    told: Stamp | None = None
    mark: HeaderMark | None = None

    @property
    def covered(self) -> bool:
        return self.partition is not None or bool(self.ranges)

    def marked(self) -> HeaderMark:
        """The mark of what is read now; to be taken before anybody else can run."""
        if self.mark is None:
            self.mark = HeaderMark()
        return self.mark

    def end_mark(self) -> None:
        """Who holds the mark of this header is told that it is the partition's no more."""
        if self.mark is not None:
            self.mark.current = False

    @property
    def stamp(self) -> Stamp:
        if self.told is None:
            self.told = Stamp(version.time_us(self.newest), version.token(self.newest))
        return self.told

    def covering(self, key: bytes) -> Cell | None:
        """The greatest tombstone over `key`."""
        if not self.ranges:
            return self.partition
        return tombstones.greatest(self.partition, tombstones.covering(self.ranges, key))


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    newest: bytes
    partition: Cell | None
    has_ranges: bool
    low: bytes | None
    high: bytes


class _StoredRange(msgspec.Struct, frozen=True, array_like=True):
    end: bytes | None
    cell: Cell


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(_Stored).decode
_decode_range = msgspec.msgpack.Decoder(_StoredRange).decode


def encode(header: Header) -> bytes:
    """The header row; range tombstones are rows of their own."""
    low = None if header.low is KEY_CEILING else header.low
    return _encode((header.newest, header.partition, bool(header.ranges), low, header.high))


def decode(stored: bytes) -> tuple[Header, bool]:
    """The header without its range tombstones, and whether there are any to read."""
    found = _decode_header(stored)
    low = KEY_CEILING if found.low is None else found.low
    return Header(found.newest, found.partition, (), low, found.high), found.has_ranges


def encode_range(end: bytes | None, cell: Cell) -> bytes:
    return _encode((end, cell))


def decode_range(stored: bytes) -> tuple[bytes | None, Cell]:
    found = _decode_range(stored)
    return found.end, found.cell
