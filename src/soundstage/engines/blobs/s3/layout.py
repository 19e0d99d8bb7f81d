"""How a blob lies in its object. Part of the format.

    the bytes of the blob, unless they are an object of their own: see `names`
    xxh3-64 of each block of 1 MiB (8 each)
    the seal (MessagePack), zeros up to 4,084 bytes | length of the seal (4) | magic (8)

Size and sha256 are known when the last byte has come, so they stand at the end, which is sent last. An object is there
whole or not at all, and its end tells all of the rest: what is read is checked against it.
"""

from __future__ import annotations

from struct import Struct

import msgspec
from xxhash import xxh3_64_digest

from soundstage.engines.blobs.port import BlobInfo

MAGIC = b"SOUNDBO1"
SEAL_BYTES = 4_096
BLOCK_BYTES = 1 << 20
SUM_BYTES = 8

_END = Struct(">I8s")


class Seal(msgspec.Struct, frozen=True):
    """What an object says of itself. `put` is a number of the put that wrote it, which no other has."""

    info: BlobInfo
    put: str


class Foreign(Exception):
    """An object, or a part of one, that is not what a put has written; never leaves the engine."""


def sums(data: bytes | memoryview) -> bytes:
    """The sums of the blocks of `data`, which begins with a block."""
    view = memoryview(data)
    return b"".join(xxh3_64_digest(view[at : at + BLOCK_BYTES]) for at in range(0, len(view), BLOCK_BYTES))


def sealed(seal: Seal) -> bytes:
    """The last 4,096 bytes of an object."""
    encoded = msgspec.msgpack.encode(seal)
    return encoded.ljust(SEAL_BYTES - _END.size, b"\0") + _END.pack(len(encoded), MAGIC)


def unsealed(end: bytes, object_size: int, *, apart: bool = False) -> Seal:
    """The seal in the last bytes of an object of that size, in which the bytes of the blob are unless `apart`.

    Raises `Foreign` for anything else.
    """
    if len(end) < SEAL_BYTES:
        raise Foreign("it is shorter than any blob")
    length, magic = _END.unpack_from(end, len(end) - _END.size)
    if magic != MAGIC or length > SEAL_BYTES - _END.size:
        raise Foreign("it does not end as a blob does")
    begin = len(end) - SEAL_BYTES
    try:
        seal = msgspec.msgpack.decode(end[begin : begin + length], type=Seal)
    except msgspec.MsgspecError as error:
        raise Foreign(f"its seal cannot be read: {error}") from error
    if object_bytes(seal.info.size) - (seal.info.size if apart else 0) != object_size:
        raise Foreign(f"it has {object_size} bytes, which do not fit a blob of {seal.info.size}")
    return seal


def object_bytes(size: int) -> int:
    """How long the object of a blob of `size` bytes is."""
    return size + SUM_BYTES * blocks(size) + SEAL_BYTES


def blob_bytes(object_size: int) -> int:
    """How long the blob in an object of that size is; 0 for one that no blob fits."""
    rest = object_size - SEAL_BYTES
    return max(0, rest - SUM_BYTES * -(-rest // (BLOCK_BYTES + SUM_BYTES)))


def blocks(size: int) -> int:
    """How many blocks a blob of `size` bytes has."""
    return -(-size // BLOCK_BYTES)
