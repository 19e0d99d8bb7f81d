"""How a blob lies in its file. Part of the disk format.

    magic (8) | length of the info (4) | info (MessagePack), zeros up to 4,096 bytes
    the bytes of the blob
    xxh3-64 of each block of 1 MiB (8 each)

The info is written last, when size and sha256 are known; a file is named as an object only after that. Reads
check every block they touch, so that a range is known to be right without reading the whole.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import NamedTuple

import msgspec
from xxhash import xxh3_64_digest

from soundstage.engines.blobs.port import BlobInfo

MAGIC = b"SOUNDBL1"
HEAD_BYTES = 4_096
BLOCK_BYTES = 1 << 20
SUM_BYTES = 8

_PREFIX = Struct(">8sI")


class Stretch(NamedTuple):
    """Whole blocks of a blob: where they begin and end in it, and the number of the first."""

    start: int
    end: int
    block: int


def object_name(key: str) -> str:
    """Where the blob of `key` lies, below the folder."""
    name = sha256(key.encode()).hexdigest()
    return f"objects/{name[:2]}/{name[2:]}"


def encode_head(info: BlobInfo) -> bytes:
    """The first 4,096 bytes of the file."""
    encoded = msgspec.msgpack.encode(info)
    return (_PREFIX.pack(MAGIC, len(encoded)) + encoded).ljust(HEAD_BYTES, b"\0")


def decode_head(head: bytes) -> BlobInfo:
    """The info that the first bytes of a file hold; raises `ValueError` for anything else."""
    if len(head) < HEAD_BYTES:
        raise ValueError("the file is cut short")
    magic, length = _PREFIX.unpack_from(head)
    if magic != MAGIC or length > HEAD_BYTES - _PREFIX.size:
        raise ValueError("the file does not begin as a blob does")
    return msgspec.msgpack.decode(head[_PREFIX.size : _PREFIX.size + length], type=BlobInfo)


def file_size(size: int) -> int:
    """How long the file of a blob of `size` bytes is."""
    return HEAD_BYTES + size + SUM_BYTES * blocks(size)


def blocks(size: int) -> int:
    """How many blocks a blob of `size` bytes has."""
    return -(-size // BLOCK_BYTES)


def block_sum(block: bytes) -> bytes:
    """What is kept of a block to know it again."""
    return xxh3_64_digest(block)


def stretch_at(position: int, size: int) -> Stretch:
    """The block of a blob of `size` bytes that holds `position`."""
    block = position // BLOCK_BYTES
    return Stretch(block * BLOCK_BYTES, min((block + 1) * BLOCK_BYTES, size), block)
