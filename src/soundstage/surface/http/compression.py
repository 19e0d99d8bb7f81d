"""gzip and zstd, both ways, never beyond the limits on what comes out."""

from __future__ import annotations

import gzip
import zlib

import zstandard

from soundstage.core.errors import InvalidArgument, TooLarge

COMPRESS_FROM_BYTES = 1_024
"""Smaller replies do not repay the work."""

CODINGS = ("zstd", "gzip")

_ZSTD_LEVEL = 1
_GZIP_LEVEL = 1


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """The content of `body`. Raises `TooLarge` beyond `limit` bytes, `InvalidArgument` for damage."""
    try:
        content = _gunzip(body, limit) if coding == "gzip" else _unzstd(body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise InvalidArgument(
            f"the body is no {coding}: {error}", field="Content-Encoding", hint="send it uncompressed, or repair it"
        ) from None
    if len(content) > limit:
        raise TooLarge(f"the body is over {limit} bytes when decompressed", hint="split the request")
    return content


def compress(body: bytes, accepted: bytes) -> tuple[bytes, str | None]:
    """`body`, compressed if it is worth it and the caller accepts it, and the coding."""
    if len(body) < COMPRESS_FROM_BYTES or not accepted:
        return body, None
    coding = _choose(accepted.decode("latin-1").lower())
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body), coding
    if coding == "gzip":
        return gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0), coding
    return body, None


def _choose(accepted: str) -> str | None:
    weights = dict(_weight(part) for part in accepted.split(","))
    best = max(CODINGS, key=lambda coding: weights.get(coding, weights.get("*", 0.0)))
    return best if weights.get(best, weights.get("*", 0.0)) > 0 else None


def _weight(part: str) -> tuple[str, float]:
    coding, _, parameters = part.partition(";")
    quality = parameters.replace(" ", "").partition("q=")[2]
    try:
        return coding.strip(), float(quality) if quality else 1.0
    except ValueError:
        return coding.strip(), 0.0


def _gunzip(body: bytes, limit: int) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    content = unzip.decompress(body, limit + 1)
    if len(content) <= limit and not unzip.eof:
        raise EOFError("it ends too early")
    return content


def _unzstd(body: bytes, limit: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body)
    parts: list[bytes] = []
    size = 0
    while size <= limit and (part := reader.read(min(65_536, limit + 1 - size))):
        parts.append(part)
        size += len(part)
    if size <= limit and not _whole_frame(body):
        raise EOFError("it ends too early")
    return b"".join(parts)


def _whole_frame(body: bytes) -> bool:
    unzip = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    unzip.decompress(body)
    return unzip.eof
