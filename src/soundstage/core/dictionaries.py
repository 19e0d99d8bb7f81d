"""Dictionaries of zstd that values are compressed with, named by what they hold.

A codec `zstd:0f3a…` is zstd with the dictionary whose BLAKE2b begins so: whoever has the name can tell whether what it
was given is it, and a name means the same wherever values are taken. Frames do not say which dictionary they need.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from soundstage.core.errors import DataLoss

PREFIX = "zstd:"

ANY_DICTIONARY = "zstd:*"
"""What a client names among its codecs that fetches dictionaries."""

DICTIONARY_MAX_BYTES = 256 << 10
"""Larger ones are not made, nor taken."""

KNOWN_MAX = 64
"""Dictionaries that one client keeps; those used longest ago are forgotten, and fetched again when needed."""

_ID_BYTES = 6
_NAME = re.compile(r"zstd:[0-9a-f]{12}")
_MAGIC = (0xEC30A437).to_bytes(4, "little")


class Dictionary:
    """A dictionary ready for use; threads may share it."""

    __slots__ = ("codec", "words")

    def __init__(self, codec: str, content: bytes) -> None:
        import zstandard

        self.codec: str = codec
        self.words: Any = zstandard.ZstdCompressionDict(content)


class Dictionaries:
    """Those that one client knows, at most `KNOWN_MAX` of at most `DICTIONARY_MAX_BYTES` each."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Dictionary] = OrderedDict()

    def find(self, codec: str) -> Dictionary | None:
        """The dictionary of that codec, where it is known."""
        found = self._known.get(codec)
        if found is not None:
            # It is looked for in threads too, and may have been forgotten since.
            with suppress(KeyError):
                self._known.move_to_end(codec)
        return found

    def add(self, codec: str, content: bytes) -> Dictionary:
        """The dictionary is known. Raises `DataLoss` for what is not the one that the codec names."""
        check_dictionary(codec, content)
        found = self._known[codec] = Dictionary(codec, content)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return found


def train(values: Sequence[bytes], size: int, level: int) -> bytes | None:
    """A dictionary of at most `size` bytes for values such as these; None of too few. Takes its time: for a thread."""
    import zstandard

    try:
        return zstandard.train_dictionary(size, [*values], level=level).as_bytes()
    except zstandard.ZstdError:
        return None


def codec_of_dictionary(content: bytes) -> str:
    """The codec that is zstd with this dictionary."""
    return PREFIX + blake2b(content, digest_size=_ID_BYTES).hexdigest()


def needs_dictionary(codec: str | None) -> bool:
    """Whether a codec is zstd with a dictionary."""
    return codec is not None and _NAME.fullmatch(codec) is not None


def check_dictionary(codec: str, content: bytes) -> None:
    """Raise `DataLoss` unless `content` is the dictionary that `codec` names."""
    is_one = len(content) <= DICTIONARY_MAX_BYTES and content.startswith(_MAGIC)
    if not is_one or codec_of_dictionary(content) != codec:
        raise DataLoss(
            f"{len(content)} bytes are not the dictionary {codec[:40]!r}",
            hint="train another one; what was written with this one can be read where it is still whole",
        )
