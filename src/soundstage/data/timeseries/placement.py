"""Where an event lies: which partition of its slice, under which keys; a pure function of the event and the slice.

    partition = time bucket (8 bytes) | event bucket (2 bytes) | id
    key       = 2**63 - 1 - time (8 bytes, so that the newest is first) | event id, escaped | 00 01 | item key

The event bucket is a hash of the event id, so that a repetition lands where the first one did. In an escaped text
00 is 00 FF: keys are in the order of time (the newest first), event id and item key. An id too long for the store is
cut, with a digest in place of the rest; the rows of such an id have the whole one in their metadata.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

from xxhash import xxh3_64_intdigest

from soundstage.core.time import INT64_MAX, INT64_MIN
from soundstage.engines.records.port import PARTITION_MAX_BYTES, Span

_BUCKET = Struct(">QH")
_TIME = Struct(">Q")
_CUT = 0x8000
_DIGEST_BYTES = 32
_END = b"\0\1"

ID_IN_PARTITION_BYTES = PARTITION_MAX_BYTES - _BUCKET.size
"""Longer ids are cut."""

TIME_BYTES = _TIME.size


def event_bucket(event_id: bytes, event_buckets: int) -> int:
    """Which of the partitions of its time an event is in."""
    return xxh3_64_intdigest(event_id) % event_buckets if event_buckets > 1 else 0


def partition(series: bytes, time_bucket: int, event_bucket: int) -> bytes:
    """The partition of those buckets of an id. `time_bucket` may be negative."""
    if len(series) > ID_IN_PARTITION_BYTES:
        kept, digest = series[: ID_IN_PARTITION_BYTES - _DIGEST_BYTES], blake2b(series, digest_size=_DIGEST_BYTES)
        return _BUCKET.pack(time_bucket + 2**63, event_bucket | _CUT) + kept + digest.digest()
    return _BUCKET.pack(time_bucket + 2**63, event_bucket) + series


def metadata(series: bytes) -> bytes:
    """What the cells of an id have in their metadata: the whole id where its partitions do not."""
    return series if len(series) > ID_IN_PARTITION_BYTES else b""


def series_of(partition: bytes, metadata: bytes) -> bytes:
    """The id of a partition, of which a row has that metadata."""
    _, bucket = _BUCKET.unpack_from(partition)
    return metadata if bucket & _CUT else partition[_BUCKET.size :]


def event_prefix(time_ns: int, event_id: bytes) -> bytes:
    """What the keys of an event begin with, and of no other event of its partition."""
    return _TIME.pack(INT64_MAX - time_ns) + event_id.replace(b"\0", b"\0\xff") + _END


def prefix_of(key: bytes) -> bytes:
    """The `event_prefix` of a key."""
    return key[: key.index(_END, TIME_BYTES) + len(_END)]


def event_of(prefix: bytes) -> tuple[int, bytes]:
    """Time and id of the event whose keys begin so."""
    time_ns = INT64_MAX - _TIME.unpack_from(prefix)[0]
    return time_ns, prefix[TIME_BYTES : -len(_END)].replace(b"\0\xff", b"\0")


def after_event(prefix: bytes) -> bytes:
    """Greater than every key of the event, and than no key of one behind it."""
    return prefix[:-1] + b"\2"


def key_of_time(time_ns: int) -> bytes:
    """At most every key of an event of that time or before it; one of `INT64_MIN` - 1 is behind all keys."""
    return b"\xff" * (TIME_BYTES + 1) if time_ns < INT64_MIN else _TIME.pack(INT64_MAX - time_ns)


def span_of(start_ns: int, resume: bytes) -> Span:
    """The keys of events not before `start_ns`, from the key `resume` on."""
    return Span(resume, key_of_time(start_ns - 1))


def newest_of(resume: bytes) -> int:
    """The time of the newest event that a key from `resume` on may be of."""
    return INT64_MAX - _TIME.unpack_from(resume)[0]
