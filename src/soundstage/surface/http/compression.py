"""gzip and zstd, both ways, never beyond the limits on what comes out."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from functools import lru_cache

import zstandard

from soundstage.core.errors import InvalidArgument, TooLarge

COMPRESS_FROM_BYTES = 1_024
"""Smaller replies do not repay the work."""

INLINE_MAX_BYTES = 64 << 10
"""More than this is (de)compressed in a thread, which does not hold the event loop."""

CODINGS = ("zstd", "gzip")

_ZSTD_LEVEL = 1
_GZIP_LEVEL = 1
_GZIP_WINDOW = 31
_ZSTD_WINDOW_MAX_BYTES = 8 << 20
"""What every decoder must take; a frame that asks for more memory is refused."""


async def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """The content of `body`. Raises `TooLarge` beyond `limit` bytes, `InvalidArgument` for damage."""
    # A small body may still hold megabytes, and the time goes by what comes out.
    return await asyncio.to_thread(_decompress, body, coding, limit)


async def compress(body: bytes, accepted: bytes) -> tuple[bytes, str | None]:
    """`body`, compressed if it is worth it and the caller accepts it, and the coding."""
    coding = None if len(body) < COMPRESS_FROM_BYTES else _choose(accepted)
    if coding is None:
        return body, None
    pack = _zstd if coding == "zstd" else _gzip
    if len(body) <= INLINE_MAX_BYTES:
        return pack(body), coding
    return await asyncio.to_thread(pack, body), coding


def _decompress(body: bytes, coding: str, limit: int) -> bytes:
    try:
        content = _gunzip(body, limit) if coding == "gzip" else _unzstd(body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise InvalidArgument(
            f"the body is no {coding}: {error}", field="Content-Encoding", hint="send it uncompressed, or repair it"
        ) from None
    if len(content) > limit:
        raise TooLarge(f"the body is over {limit} bytes when decompressed", hint="split the request")
    return content


def _gunzip(body: bytes, limit: int) -> bytes:
    """The content of all members, or a little more than `limit` bytes of it."""
    parts: list[bytes] = []
    size = 0
    while size <= limit:
        unzip = zlib.decompressobj(wbits=_GZIP_WINDOW)
        part = unzip.decompress(body, limit + 1 - size)
        parts.append(part)
        size += len(part)
        if size > limit:
            break
        if not unzip.eof:
            raise EOFError("it ends too early")
        body = unzip.unused_data
        if not body:
            break
    return b"".join(parts)


def _unzstd(body: bytes, limit: int) -> bytes:
    """As `_gunzip`, of all frames."""
    unzip = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX_BYTES)
    reader = unzip.stream_reader(body, read_across_frames=True)
    content = b"".join(iter(lambda: reader.read(min(65_536, limit + 1 - reader.tell())), b""))
    if len(content) <= limit:
        _check_frames(body, unzip)
    return content


def _check_frames(body: bytes, unzip: zstandard.ZstdDecompressor) -> None:
    """Raise unless `body` is whole frames: a reader takes an early end for the end."""
    while True:
        frame = unzip.decompressobj()
        frame.decompress(body)
        if not frame.eof:
            raise EOFError("it ends too early")
        body = frame.unused_data
        if not body:
            return


def _zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0)


@lru_cache(maxsize=256)
def _choose(accepted: bytes) -> str | None:
    weights = dict(_weight(part) for part in accepted.decode("latin-1").lower().split(","))
    best = max(CODINGS, key=lambda coding: weights.get(coding, weights.get("*", 0.0)))
    return best if weights.get(best, weights.get("*", 0.0)) > 0 else None


def _weight(part: str) -> tuple[str, float]:
    coding, _, parameters = part.partition(";")
    quality = parameters.replace(" ", "").partition("q=")[2]
    try:
        return coding.strip(), float(quality) if quality else 1.0
    except ValueError:
        return coding.strip(), 0.0
