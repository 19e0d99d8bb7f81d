"""What the words of a text are: one rule for all engines, which are given words and never make their own.

The text is made caseless and compatible (NFKC, case folding, NFKC), so that `Straße`, `STRASSE` and full-width letters
are the same. A word is a run of letters, digits and the marks on them; everything else separates. Ideographs and
hiragana, which are written without spaces, are a word each. There are no stems, no stop words and no synonyms. A word
of more than 100 characters counts by its first 100.

The rule follows the Unicode version of the Python that runs: characters that are assigned later separate until then.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

WORD_MAX_CHARS = 100

_PLAIN = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 32 for code in range(256))
"""What each byte of an ASCII text becomes: itself in lower case, or a space."""

_ALONE = "\u3041-\u3096\u309d-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
"""Hiragana and ideographs."""

_MARKED = (
    (0x300, 0x3100),
    (0xA600, 0xAC00),
    (0xFB00, 0xFE30),
    (0x10000, 0x12000),
    (0x16000, 0x17000),
    (0x1BC00, 0x1BD00),
    (0x1CF00, 0x1CF50),
    (0x1D100, 0x1E960),
    (0xE0100, 0xE01F0),
)
"""Where marks are: to look through all of Unicode would take long."""


def words(text: str) -> list[str]:
    """The words of `text`, in their order."""
    found = text.encode().translate(_PLAIN).decode().split() if text.isascii() else _pattern().findall(caseless(text))
    return [word[:WORD_MAX_CHARS] for word in found] if len(text) > WORD_MAX_CHARS else found


def spaced(text: str) -> str:
    """The same words with spaces between, and perhaps about them; nothing where there are none."""
    if not text.isascii():
        return " ".join(words(text))
    found = text.encode().translate(_PLAIN)
    if has_longer(found, b" ", WORD_MAX_CHARS):
        found = b" ".join([part[:WORD_MAX_CHARS] for part in found.split()])
    return "" if found.isspace() else found.decode()


def has_longer(found: bytes, separator: bytes, most: int) -> bool:
    """Whether more than so many bytes follow one another without the separator."""
    at, last = -1, len(found) - most - 1
    while at < last:
        at = found.rfind(separator, at + 1, at + most + 2)
        if at < 0:
            return True
    return False


def caseless(text: str) -> str:
    """The form in which texts are compared; the same when it is made again."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(rf"[{_ALONE}][{_marks()}]*|(?:(?![{_ALONE}])[^\W_]|[{_marks()}])+")


def _marks() -> str:
    """The marks that combine with letters, as ranges of a character class."""
    codes = [code for block in _MARKED for code in range(*block) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    firsts = [code for place, code in enumerate(codes) if place == 0 or codes[place - 1] != code - 1]
    lasts = [code for place, code in enumerate(codes, 1) if place == len(codes) or codes[place] != code + 1]
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in zip(firsts, lasts, strict=True))
