"""Walks over a table: its segments, which are equal parts of the hashes of all partitions, and positions."""

from __future__ import annotations

import msgspec
from xxhash import xxh3_64_intdigest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.port import SEGMENTS_MAX


def segment_bounds(segment: int, segments: int) -> tuple[int, int]:
    """The hashes of a segment: from the first, inclusive, to the second, exclusive."""
    if not (1 <= segments <= SEGMENTS_MAX and 0 <= segment < segments):
        raise InvalidArgument(
            f"there is no segment {segment} of {segments}",
            field="segment",
            hint=f"use 1 to {SEGMENTS_MAX} segments, counted from 0",
        )
    return (segment << 64) // segments, ((segment + 1) << 64) // segments


def place(partition: bytes) -> tuple[int, bytes]:
    """Where a walk meets `partition`; places are ordered."""
    return xxh3_64_intdigest(partition), partition


def encode_position(partition: bytes, start: bytes) -> bytes:
    """Where a walk goes on: in `partition`, at the key `start`."""
    return msgspec.msgpack.encode((partition, start))


def parse_position(position: bytes, low: int, high: int) -> tuple[bytes, bytes]:
    """The partition and key of a position; `InvalidArgument` unless it lies between the hashes of a segment."""
    try:
        partition, start = msgspec.msgpack.decode(position, type=tuple[bytes, bytes])
    except msgspec.MsgspecError:
        raise InvalidArgument("the position is none that a walk returned", field="position") from None
    if not low <= xxh3_64_intdigest(partition) < high:
        raise InvalidArgument("the position is of another segment", field="position")
    return partition, start
