"""What a row keeps of a value that lies in chunks, and where those lie.

A value larger than the namespace's `chunk_threshold` is not in its row. The row has a manifest in its metadata, which
names the *upload* that brought the value: 16 random bytes, another for each attempt, so that no two writes ever share
a chunk. Chunks are rows of the table `kv/<namespace>/values`: `GROUP` of them a partition, in order.
"""

from __future__ import annotations

import msgspec
from xxhash import xxh3_64_digest, xxh3_128_digest

from soundstage.core import version
from soundstage.engines.records.port import Cell

UPLOAD_BYTES = 16

GROUP = 64
"""Chunks of one partition: 16 MiB of the usual size, so that no store has a partition of a gigabyte."""

CALL_BYTES = 1 << 18
"""Chunks that one call to the store writes or reads, together: so many that others on the loop need not wait long.

One chunk may be larger."""

_CHUNKS = b"c"


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """A value of `size` bytes in chunks of `chunk_bytes`, the last of which may be shorter.

    `digest`, the 128-bit XXH3 of the value, comes first: of two values under one token the same one wins whatever
    uploads brought them, for versions are compared by their bytes.
    """

    digest: bytes
    size: int
    chunk_bytes: int
    upload: bytes

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return -(-self.size // self.chunk_bytes)


def chunks_per_call(chunk_bytes: int) -> int:
    """How many chunks one call takes: a power of two, so that no call lies across two groups."""
    return 1 << (max(1, CALL_BYTES // chunk_bytes).bit_length() - 1)


def digest_of(value: bytes) -> bytes:
    """What a manifest says of a value, to know it again."""
    return xxh3_128_digest(value)


def group_of(upload: bytes, number: int) -> bytes:
    """The partition of a group of chunks of an upload."""
    return _CHUNKS + upload + number.to_bytes(4, "big")


def place_of(upload: bytes, number: int) -> tuple[bytes, bytes]:
    """Partition and key of the chunk of that number."""
    return group_of(upload, number // GROUP), number.to_bytes(4, "big")


def chunk_cell(time_us: int, token: str, data: bytes) -> Cell:
    """A chunk as a row, with what proves it whole."""
    return version.put(time_us, token, data, metadata=xxh3_64_digest(data))


def data_of(cell: Cell) -> bytes | None:
    """What a chunk holds; None when it is not what was written."""
    found = version.split(cell)
    return found.value if xxh3_64_digest(found.value) == found.metadata else None
