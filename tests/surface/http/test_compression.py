from __future__ import annotations

import gzip
import os
import zlib

import pytest
import zstandard

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.surface.http.compression import COMPRESS_FROM_BYTES, INLINE_MAX_BYTES, compress, decompress

LIMIT = 1 << 20
TEXT = b"soundstage " * 1_000


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def streamed(data: bytes) -> bytes:
    """A frame that does not tell how much it holds."""
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstd), ("zstd", streamed)])
async def test_what_was_packed_is_unpacked(coding: str, pack: type[bytes]) -> None:
    assert await decompress(pack(TEXT), coding, LIMIT) == TEXT


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
async def test_several_members_are_one_content(coding: str, pack: type[bytes]) -> None:
    assert await decompress(pack(TEXT) + pack(b"end"), coding, LIMIT) == TEXT + b"end"


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstd), ("zstd", streamed)])
async def test_as_much_as_the_limit_is_let_through(coding: str, pack: type[bytes]) -> None:
    assert len(await decompress(pack(bytes(5_000)), coding, 5_000)) == 5_000


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstd), ("zstd", streamed)])
async def test_a_byte_over_the_limit_is_too_large(coding: str, pack: type[bytes]) -> None:
    with pytest.raises(TooLarge, match="when decompressed"):
        await decompress(pack(bytes(5_001)), coding, 5_000)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
async def test_members_count_together(coding: str, pack: type[bytes]) -> None:
    with pytest.raises(TooLarge):
        await decompress(pack(bytes(3_000)) + pack(bytes(3_000)), coding, 5_000)


async def test_a_bomb_costs_no_more_than_the_limit() -> None:
    layer = zlib.compressobj(wbits=31)
    bomb = b"".join(layer.compress(bytes(1 << 20)) for _ in range(40)) + layer.flush()
    with pytest.raises(TooLarge):
        await decompress(bomb, "gzip", LIMIT)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstd), ("zstd", streamed)])
async def test_a_body_that_is_cut_short_is_refused(coding: str, pack: type[bytes]) -> None:
    packed = pack(os.urandom(1_000))
    for end in (0, 1, len(packed) // 2, len(packed) - 1):
        with pytest.raises(InvalidArgument) as caught:
            await decompress(packed[:end], coding, LIMIT)
        assert caught.value.field == "Content-Encoding"


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
async def test_rubbish_after_the_content_is_refused(coding: str, pack: type[bytes]) -> None:
    with pytest.raises(InvalidArgument):
        await decompress(pack(TEXT) + b"rubbish", coding, LIMIT)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_plain_text_is_no_coding(coding: str) -> None:
    with pytest.raises(InvalidArgument, match=f"the body is no {coding}"):
        await decompress(b'{"a":1}', coding, LIMIT)


async def test_a_frame_that_wants_too_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(InvalidArgument):
        await decompress(packer.compress(TEXT) + packer.flush(), "zstd", LIMIT)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip", "gzip"),
        (b"zstd", "zstd"),
        (b"gzip, zstd", "zstd"),
        (b"gzip;q=1.0, zstd;q=0.5", "gzip"),
        (b"gzip, deflate, br", "gzip"),
        (b"*", "zstd"),
        (b"*;q=0.1, gzip", "gzip"),
        (b"identity", None),
        (b"gzip;q=0", None),
        (b"br", None),
        (b"gzip;q=much", None),
    ],
)
async def test_the_coding_is_the_one_liked_best(accepted: bytes, coding: str | None) -> None:
    assert (await compress(TEXT, accepted))[1] == coding


@pytest.mark.parametrize("size", [COMPRESS_FROM_BYTES, INLINE_MAX_BYTES, INLINE_MAX_BYTES + 1])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_what_is_compressed_can_be_read(size: int, coding: str) -> None:
    packed, used = await compress(bytes(size), coding.encode())
    assert used == coding
    assert await decompress(packed, coding, size) == bytes(size)


async def test_small_replies_are_left_alone() -> None:
    assert await compress(bytes(COMPRESS_FROM_BYTES - 1), b"gzip") == (bytes(COMPRESS_FROM_BYTES - 1), None)


async def test_the_same_reply_is_compressed_to_the_same_bytes() -> None:
    assert await compress(TEXT, b"gzip") == await compress(TEXT, b"gzip")
