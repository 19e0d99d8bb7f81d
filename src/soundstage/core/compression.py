"""Codecs of values: what a client does to a value before a store sees it, and how a reader undoes it.

`none` leaves a value as it is, `zstd` and `lz4` are frames of those formats, and `zstd:ID` are frames of zstd that need
the dictionary of that name. How large a value becomes is known before it is made.
"""

from __future__ import annotations

import importlib.util
import threading
from functools import lru_cache
from typing import Any

from soundstage.core.dictionaries import Dictionary, needs_dictionary
from soundstage.core.errors import DataLoss, Internal, TooLarge, Unavailable

PLAIN = "none"
ZSTD = "zstd"
LZ4 = "lz4"

CODECS = (ZSTD, LZ4, PLAIN)
"""All that values are stored with and that stand by themselves, the best first."""

_SLICE_BYTES = 64
"""Of a frame that does not say what it holds so much is read at once: a byte of it stands for up to 32 KiB."""

_ZSTD_NS = ((3, 8), (6, 20), (12, 70), (22, 400))
"""What a byte of JSON-like text costs to compress, up to which level, in nanoseconds of a slow core."""

_KEPT = 16
"""Compressors and decompressors of a thread that are kept for the next value."""


class _Kept(threading.local):
    """What a thread has made to compress and decompress: none of it may be used by two at once."""

    def __init__(self) -> None:
        self.made: dict[tuple[Any, ...], Any] = {}


_kept = _Kept()


@lru_cache(maxsize=1)
def known_codecs() -> tuple[str, ...]:
    """The codecs that are installed here, the best first."""
    return CODECS if importlib.util.find_spec("lz4") is not None else (ZSTD, PLAIN)


def compress(codec: str, value: bytes, level: int = 3, dictionary: Dictionary | None = None) -> bytes:
    """`value` as a frame of `codec`, which says how large it is. Raises as `decompress` for a codec unknown here.

    A codec with a dictionary needs that one as `dictionary`.
    """
    if codec == ZSTD:
        return _zstd_compressor(level).compress(value)
    if needs_dictionary(codec):
        return _worded_compressor(level, _checked(codec, dictionary)).compress(value)
    if codec == LZ4:
        return _lz4().compress(value, store_size=True)
    if codec == PLAIN:
        return value
    raise _unknown(codec)


class Allowance:
    """How many bytes may still be undone of frames that do not say how many they hold, those in vain included."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left: int = left


def declared_size(codec: str, frame: bytes) -> int | None:
    """How large the value of `frame` is, as that says; None where it does not, or is none."""
    if codec == ZSTD or needs_dictionary(codec):
        import zstandard

        try:
            size = zstandard.get_frame_parameters(frame).content_size
        except zstandard.ZstdError:
            return None
        # The library does not look at all into a frame that says it is empty.
        return None if size in (zstandard.CONTENTSIZE_UNKNOWN, 0) else size
    if codec == LZ4:
        try:
            return _lz4().get_frame_info(frame)["content_size"] or None
        except (RuntimeError, Unavailable):
            return None
    return len(frame)


def compressing_us(codec: str, level: int, size: int) -> int:
    """About how long the processor has to do with `size` bytes."""
    per_byte = 2 if codec == LZ4 else next(cost for most, cost in _ZSTD_NS if level <= most)
    return size * per_byte // 1_000


def decompressing_us(size: int) -> int:
    """The same for undoing what comes to `size` bytes."""
    return size // 800


def decompress(
    codec: str,
    frame: bytes,
    limit: int,
    dictionary: Dictionary | None = None,
    allowance: Allowance | None = None,
) -> bytes:
    """The value of `frame`, of at most `limit` bytes; and of what is left of `allowance`, where it does not say.

    A codec with a dictionary needs that one as `dictionary`.

    Raises `TooLarge` for one that is larger, before it is made, `DataLoss` for what is no frame of `codec`, whole and
    alone, `Unavailable` for a codec that is not installed, and `Internal` for one that is not known, or without its
    dictionary.
    """
    if codec == ZSTD:
        return _zstd_value(frame, limit, _zstd_decompressor(), allowance or Allowance(limit))
    if needs_dictionary(codec):
        decompressor = _worded_decompressor(_checked(codec, dictionary))
        return _zstd_value(frame, limit, decompressor, allowance or Allowance(limit))
    if codec == LZ4:
        return _lz4_value(frame, limit, allowance or Allowance(limit))
    if codec == PLAIN:
        return frame
    raise _unknown(codec)


def too_large(limit: int) -> TooLarge:
    """What tells a reader that values come to more than `limit` bytes."""
    return TooLarge(
        f"values of the reply come to more than {limit} bytes when their compression is undone",
        hint="ask for fewer or smaller ones at once, or raise `max_reply_bytes`",
    )


def _zstd_value(frame: bytes, limit: int, decompressor: Any, allowance: Allowance) -> bytes:
    import zstandard

    try:
        declared = declared_size(ZSTD, frame)
        if declared is None:
            return _piecemeal(ZSTD, decompressor.decompressobj(), frame, limit, allowance)
        if declared > limit:
            raise too_large(limit)
        return decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _damaged(ZSTD, str(error)) from None


def _piecemeal(codec: str, decompressor: Any, frame: bytes, limit: int, allowance: Allowance) -> bytes:
    parts: list[bytes] = []
    size = 0
    if allowance.left < 0:
        raise too_large(limit)
    for at in range(0, len(frame), _SLICE_BYTES):
        if decompressor.eof:
            raise _damaged(codec, "something follows its end")
        parts.append(decompressor.decompress(frame[at : at + _SLICE_BYTES]))
        size += len(parts[-1])
        allowance.left -= len(parts[-1])
        if size > limit or allowance.left < 0:
            raise too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise _damaged(codec, "it does not end where it should")
    return b"".join(parts)


def _lz4_value(frame: bytes, limit: int, allowance: Allowance) -> bytes:
    lz4 = _lz4()
    try:
        declared = lz4.get_frame_info(frame)["content_size"]
        if declared > limit:
            raise too_large(limit)
        if not declared:
            return _piecemeal(LZ4, lz4.LZ4FrameDecompressor(), frame, limit, allowance)
        decompressor = lz4.LZ4FrameDecompressor()
        value: bytes = decompressor.decompress(frame, max_length=limit + 1)
    except (RuntimeError, EOFError, ValueError) as error:
        raise _damaged(LZ4, str(error)) from None
    if len(value) > limit:
        raise too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise _damaged(LZ4, "it does not end where it should")
    return value


def _zstd_compressor(level: int) -> Any:
    import zstandard

    return _once(("compressor", level), lambda: zstandard.ZstdCompressor(level))


def _zstd_decompressor() -> Any:
    import zstandard

    return _once(("decompressor",), zstandard.ZstdDecompressor)


def _worded_compressor(level: int, dictionary: Dictionary) -> Any:
    import zstandard

    words = dictionary.words
    return _once(
        ("compressor", level, words),
        lambda: zstandard.ZstdCompressor(level, dict_data=words, write_dict_id=False),
    )


def _worded_decompressor(dictionary: Dictionary) -> Any:
    import zstandard

    words = dictionary.words
    return _once(("decompressor", words), lambda: zstandard.ZstdDecompressor(dict_data=words))


def _checked(codec: str, dictionary: Dictionary | None) -> Dictionary:
    if dictionary is None or dictionary.codec != codec:
        raise Internal(f"{codec} needs its dictionary", hint="fetch it by `kv/get_dictionary`")
    return dictionary


def _once(key: tuple[Any, ...], make: Any) -> Any:
    made = _kept.made
    found = made.get(key)
    if found is None:
        if len(made) >= _KEPT:
            del made[next(iter(made))]
        found = made[key] = make()
    return found


def _lz4() -> Any:
    try:
        import lz4.frame
    except ModuleNotFoundError:
        raise Unavailable(
            "values compressed with lz4 need the package 'lz4'",
            hint='pip install "soundstage[lz4]"',
            retryable=False,
            outcome="not_applied",
        ) from None
    return lz4.frame


def _damaged(codec: str, why: str) -> DataLoss:
    return DataLoss(
        f"a value is not what {codec} makes: {why}",
        hint="write it again; `get_value` gives it as it is stored",
    )


def _unknown(codec: str) -> Internal:
    return Internal(f"the codec {codec[:80]!r} is not known here", hint="use a client of the stage's release")
