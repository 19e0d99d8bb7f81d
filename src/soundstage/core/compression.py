"""Codecs of values: what a client does to a value before a store sees it, and how a reader undoes it.

`none` leaves a value as it is, `zstd` and `lz4` are frames of those formats, and `zstd:<id>` is a frame of zstd with a
dictionary, which is named by what it holds. How large a value becomes is known before it is made.
"""

from __future__ import annotations

import importlib.util
import threading
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from soundstage.core.errors import DataLoss, Internal, TooLarge, Unavailable

PLAIN = "none"
ZSTD = "zstd"
LZ4 = "lz4"

CODECS = (ZSTD, LZ4, PLAIN)
"""All that values are stored with, the best first."""

DICTIONARY = f"{ZSTD}:"
"""What the codec of a dictionary begins with, followed by the dictionary's id."""

_SLICE_BYTES = 64
"""Of a frame that does not say what it holds so much is read at once: a byte of it stands for up to 32 KiB."""

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


def dictionary_id(dictionary: bytes) -> str:
    """The id of a dictionary: it is that of what it holds, so that one id is one dictionary wherever it is kept."""
    return blake2b(dictionary, digest_size=8).hexdigest()


def dictionary_of(codec: str | None) -> str | None:
    """The id of the dictionary that a codec needs; None for a codec without."""
    return codec[len(DICTIONARY) :] if codec is not None and codec.startswith(DICTIONARY) else None


def compress(codec: str, value: bytes, level: int = 3, dictionary: bytes | None = None) -> bytes:
    """`value` as a frame of `codec`, which says how large it is. Raises as `decompress` for a codec unknown here."""
    if codec == ZSTD or dictionary_of(codec) is not None:
        return _zstd_compressor(level, _content(codec, dictionary)).compress(value)
    if codec == LZ4:
        return _lz4().compress(value, store_size=True)
    if codec == PLAIN:
        return value
    raise _unknown(codec)


def decompress(codec: str, frame: bytes, limit: int, dictionary: bytes | None = None) -> bytes:
    """The value of `frame`, of at most `limit` bytes.

    Raises `TooLarge` for one that is larger, before it is made, `DataLoss` for what is no frame of `codec`, whole and
    alone, `Unavailable` for a codec that is not installed, and `Internal` for one that is not known.
    """
    if codec == ZSTD or dictionary_of(codec) is not None:
        return _zstd(codec, frame, limit, _content(codec, dictionary))
    if codec == LZ4:
        return _lz4_value(frame, limit)
    if codec == PLAIN:
        return frame
    raise _unknown(codec)


def _zstd(codec: str, frame: bytes, limit: int, dictionary: bytes) -> bytes:
    import zstandard

    try:
        declared = zstandard.get_frame_parameters(frame).content_size
        if declared == zstandard.CONTENTSIZE_UNKNOWN:
            return _piecemeal(_zstd_decompressor(dictionary).decompressobj(), codec, frame, limit)
        if declared > limit:
            raise _too_large(limit)
        return _zstd_decompressor(dictionary).decompress(frame, allow_extra_data=False) if declared else b""
    except zstandard.ZstdError as error:
        raise _damaged(codec, str(error)) from None


def _piecemeal(decompressor: Any, codec: str, frame: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for at in range(0, len(frame), _SLICE_BYTES):
        if decompressor.eof:
            raise _damaged(codec, "something follows its end")
        parts.append(decompressor.decompress(frame[at : at + _SLICE_BYTES]))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise _damaged(codec, "it does not end where it should")
    return b"".join(parts)


def _lz4_value(frame: bytes, limit: int) -> bytes:
    lz4 = _lz4()
    try:
        if lz4.get_frame_info(frame)["content_size"] > limit:
            raise _too_large(limit)
        decompressor = lz4.LZ4FrameDecompressor()
        value: bytes = decompressor.decompress(frame, max_length=limit + 1)
    except (RuntimeError, EOFError, ValueError) as error:
        raise _damaged(LZ4, str(error)) from None
    if len(value) > limit:
        raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise _damaged(LZ4, "it does not end where it should")
    return value


def _zstd_compressor(level: int, dictionary: bytes) -> Any:
    import zstandard

    def make() -> Any:
        return zstandard.ZstdCompressor(level, dict_data=_zstd_dictionary(dictionary), write_dict_id=False)

    return _once(("compressor", level, dictionary), make)


def _zstd_decompressor(dictionary: bytes) -> Any:
    import zstandard

    return _once(
        ("decompressor", dictionary),
        lambda: zstandard.ZstdDecompressor(dict_data=_zstd_dictionary(dictionary)),
    )


def _zstd_dictionary(dictionary: bytes) -> Any:
    import zstandard

    return zstandard.ZstdCompressionDict(dictionary) if dictionary else None


def _once(key: tuple[Any, ...], make: Any) -> Any:
    made = _kept.made
    found = made.get(key)
    if found is None:
        if len(made) >= _KEPT:
            del made[next(iter(made))]
        found = made[key] = make()
    return found


def _content(codec: str, dictionary: bytes | None) -> bytes:
    """The dictionary of a codec, empty for one without. Raises `DataLoss` for another than it names."""
    wanted = dictionary_of(codec)
    if wanted is None:
        return b""
    if dictionary is None or dictionary_id(dictionary) != wanted:
        raise DataLoss(
            f"the dictionary {wanted} is not at hand, or is another",
            hint="it is kept with the namespace whose values need it: read them there",
        )
    return dictionary


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


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"values of the reply come to more than {limit} bytes when their compression is undone",
        hint="ask for fewer or smaller ones at once, or raise `max_reply_bytes`",
    )


def _damaged(codec: str, why: str) -> DataLoss:
    return DataLoss(
        f"a value is not what {codec} makes: {why}",
        hint="write it again; with `attune` false in Settings a client returns it as it is stored",
    )


def _unknown(codec: str) -> Internal:
    return Internal(f"the codec {codec[:80]!r} is not known here", hint="use a client of the stage's release")
