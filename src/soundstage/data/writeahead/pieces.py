"""Sets as entries of the log: numbered pieces and then a completion marker; and sets made of them again.

A set whose marker, or one of whose pieces, is not in the log was never accepted, and is not applied: its appender died
in between, and its caller was not answered. Entries of one append follow each other in their partition; those of others
may stand between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from soundstage.data.writeahead.sets import checksum_of
from soundstage.engines.log.port import Entry, Stored

PIECE_BYTES = (1 << 20) - (4 << 10)
"""An entry of the log has a MiB, with its key and what is around the piece."""

OPEN_US = 600_000_000
"""Pieces whose marker has not come for so long are of an appender that died."""

OPEN_MAX = 1_000
"""Sets of one partition that have begun and not ended: their appenders died, but for the last few."""


class Piece(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """Part `number` of a set. `append` tells two appends of one set apart."""

    append: int
    number: int
    content: bytes


class Marker(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """The set is complete: `count` pieces, and the digest of what they are together."""

    append: int
    count: int
    checksum: bytes
    digest: bytes


class Whole(NamedTuple):
    """A complete set of the log. `digest` is that of its submission, `start` the offset of its first piece.

    One that is not `intact` is not what was appended.
    """

    mutation_id: str
    digest: bytes
    encoded: bytes
    start: int
    intact: bool = True


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Piece | Marker).decode


def cut(encoded: bytes) -> list[bytes]:
    """`encoded` in parts that an entry, or a row, can hold; one at least."""
    return [encoded[at : at + PIECE_BYTES] for at in range(0, len(encoded), PIECE_BYTES)] or [b""]


def entries_of(mutation_id: str, encoded: bytes, digest: bytes, append: int) -> list[Entry]:
    """What is appended to the log for a set, in one call."""
    key, parts = mutation_id.encode(), cut(encoded)
    pieces = [Entry(_encode(Piece(append, number, part)), key) for number, part in enumerate(parts)]
    return [*pieces, Entry(_encode(Marker(append, len(parts), checksum_of(encoded), digest)), key)]


class _Opened:
    """A set of which some pieces have come."""

    def __init__(self, start: int, time_us: int) -> None:
        self.start = start
        self.time_us = time_us
        self.parts: list[bytes] = []


class Assembly:
    """Makes sets of the entries of one partition, fed in their order. `dropped` counts those never completed."""

    def __init__(self) -> None:
        self.dropped: int = 0
        self._opened: dict[tuple[bytes, int], _Opened] = {}

    def feed(self, entry: Stored) -> Whole | None:
        """The set that is complete by `entry`, if one is. What is no piece of a set is passed over."""
        try:
            found = _decode(entry.value or b"")
        except msgspec.DecodeError:
            self.dropped += 1
            return None
        place = (entry.key or b"", found.append)
        if isinstance(found, Marker):
            return self._close(place, found)
        self._collect(place, found, entry)
        return None

    def start(self, following: int) -> int:
        """Where a reader begins who wants to see every set again that is not complete before `following`."""
        return min((opened.start for opened in self._opened.values()), default=following)

    def forget(self, now_us: int) -> None:
        """What was begun too long ago to be completed is dropped."""
        for place in list(self._old(now_us)):
            del self._opened[place]
            self.dropped += 1

    def _old(self, now_us: int) -> Iterator[tuple[bytes, int]]:
        excess = len(self._opened) - OPEN_MAX
        for index, (place, opened) in enumerate(self._opened.items()):
            if index < excess or opened.time_us < now_us - OPEN_US:
                yield place

    def _collect(self, place: tuple[bytes, int], piece: Piece, entry: Stored) -> None:
        opened = self._opened.get(place)
        if piece.number == 0:
            opened = self._opened[place] = _Opened(entry.offset, entry.time_us)
        if opened is None:
            return
        if len(opened.parts) != piece.number:
            del self._opened[place]
            self.dropped += 1
            return
        opened.parts.append(piece.content)

    def _close(self, place: tuple[bytes, int], marker: Marker) -> Whole | None:
        opened = self._opened.pop(place, None)
        if opened is None or len(opened.parts) != marker.count:
            self.dropped += 1
            return None
        encoded = b"".join(opened.parts)
        intact = checksum_of(encoded) == marker.checksum
        return Whole(place[0].decode(), marker.digest, encoded, opened.start, intact)
