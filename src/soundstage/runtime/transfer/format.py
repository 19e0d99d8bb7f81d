"""The file of an exported namespace.

    block, block, …     each: a skippable frame of zstd with two lengths, then a frame of zstd

so that `zstd -d` reads the whole. A block holds one message in MessagePack: first a `Header`, then `Page`s, last
a `Trailer` with the sums of all. `chain` is a SHA-256 over the blocks in their order, so that any of them that is
changed, missing or out of place is found.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from hashlib import sha256
from struct import Struct
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec
import zstandard

from soundstage.core.errors import DataLoss, InvalidArgument
from soundstage.core.namespace import NamespaceInfo
from soundstage.core.scalars import decode_scalar, encode_msgpack_scalar
from soundstage.engines.records.holdings import Holding
from soundstage.engines.records.port import Stamp, TableSpec
from soundstage.runtime.control.store import EarlierKnobs
from soundstage.runtime.transfer.reading import Compute
from soundstage.runtime.transfer.tally import Tally

T = TypeVar("T")

FORMAT = 2
"""Of the messages in a file. Older files are read, newer ones refused."""

PLAIN = 1
"""The format of a file that says nothing which only the newest releases understand: that of most."""

MEDIA_TYPE = "application/vnd.soundstage.namespace+zstd"

BLOCK_MAX_BYTES = 64 << 20
"""More than any page has."""

_LEVEL = 3
_HEAD = Struct("<II4sII")
_SKIPPABLE = 0x184D2A53
_NAME = b"SSNS"
_REST = _HEAD.size - 8


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="header"):
    """What was exported. `earlier` are knobs that are honoured in their old form for a while.

    `truncated` is as in `Stored`: such a file is of format 2, so that no release shows what is gone.
    """

    format: int = PLAIN
    at_us: int
    namespace: NamespaceInfo
    earlier: list[EarlierKnobs] = []
    tables: list[TableSpec]
    truncated: Stamp | None = None


class Page(msgspec.Struct, frozen=True, tag="page"):
    """Holdings of the table of that number in the header."""

    table: int
    holdings: list[Holding]


class Trailer(msgspec.Struct, frozen=True, kw_only=True, tag="trailer"):
    """What the file must come to; `ended_us` is when everything had been read."""

    ended_us: int
    chain: bytes
    tally: Tally
    unsteady: list[bytes] = []


Message: TypeAlias = Header | Page | Trailer


class Block(NamedTuple):
    """A message as it was read: its bytes in the file, and the chain before and after it."""

    message: Message
    size: int
    before: bytes
    chain: bytes


def chained(chain: bytes, block: bytes) -> bytes:
    """The chain after `block`; it begins empty."""
    return sha256(chain + block).digest()


def encode(message: Message) -> bytes:
    """A block. Takes its time: for a thread."""
    content = _encode(message)
    frame = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(content)
    return _HEAD.pack(_SKIPPABLE, _REST, _NAME, len(content), len(frame)) + frame


def decode(block: bytes) -> Message:
    """The message of a block. Raises `DataLoss`. Takes its time: for a thread."""
    _, _, _, length, _ = _HEAD.unpack_from(block)
    try:
        content = zstandard.ZstdDecompressor().decompress(block[_HEAD.size :], max_output_size=length)
        if len(content) != length:
            raise damaged()
        return _decode(content)
    except (zstandard.ZstdError, msgspec.MsgspecError, InvalidArgument):
        raise damaged() from None


async def blocks(chunks: AsyncIterable[bytes], chain: bytes, compute: Compute) -> AsyncGenerator[Block]:
    """Block after block; `chain` is that before the first. Raises `DataLoss` where the bytes are no blocks."""
    waiting = bytearray()
    needed = _HEAD.size
    async for chunk in chunks:
        waiting += chunk
        while len(waiting) >= needed:
            if needed == _HEAD.size:
                needed += packed_size(waiting)
                continue
            block = bytes(waiting[:needed])
            del waiting[:needed]
            needed = _HEAD.size
            before, chain = chain, chained(chain, block)
            yield Block(await compute(decode, block), len(block), before, chain)
    if waiting:
        raise damaged()


def packed_size(head: bytes | bytearray) -> int:
    """How many bytes follow the head of a block."""
    magic, rest, name, length, size = _HEAD.unpack_from(head)
    fits = length <= BLOCK_MAX_BYTES and 0 < size <= BLOCK_MAX_BYTES
    if (magic, rest, name) != (_SKIPPABLE, _REST, _NAME) or not fits:
        raise damaged()
    return size


def check_header(message: Message | None) -> Header:
    """The first message of a file. Raises `InvalidArgument` for what this release does not read."""
    if not isinstance(message, Header):
        raise InvalidArgument("the file is no exported namespace", field="file", hint="give one that export made")
    if message.format > FORMAT:
        raise InvalidArgument(
            f"the file has the format {message.format}; this release knows {FORMAT}",
            field="file",
            hint="import it with the release that exported it, or a newer one",
        )
    return message


def damaged() -> DataLoss:
    """That a file is not as it was exported."""
    return DataLoss("the file is not what was exported: it was cut or changed", hint="fetch it again, or export again")


def packed(message: object) -> bytes:
    """A message as it is kept, in files and checkpoints."""
    return _encode(message)


def unpacker(kind: type[T]) -> Callable[[bytes], T]:
    """What reads messages of that type again."""
    return msgspec.msgpack.Decoder(kind, dec_hook=decode_scalar).decode


_encode = msgspec.msgpack.Encoder(enc_hook=encode_msgpack_scalar).encode
_decode: Callable[[bytes], Message] = msgspec.msgpack.Decoder(Message, dec_hook=decode_scalar).decode
