"""How bytes are written on a command line: `text:` (may be left out), `@file`, `hex:` or `base64:`.

What is printed can be typed back: text that is printable stands for itself, everything else gets a prefix.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import Duration, Instant

PREFIXES = ("text:", "@", "hex:", "base64:")

_HEX_BYTES_MAX = 32
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line ends; what reorders a line on a terminal."""


def read_bytes(text: str) -> bytes:
    """The bytes that `text` stands for. Raises `InvalidArgument` for digits that are none and unreadable files."""
    if text.startswith("text:"):
        return os.fsencode(text[5:])
    if text.startswith("@"):
        return read_file(text[1:])
    if text.startswith("hex:"):
        return _decoded(bytes.fromhex, text, 4, "pairs of hexadecimal digits")
    if text.startswith("base64:"):
        return _decoded(lambda digits: base64.b64decode(digits, validate=True), text, 7, "base64 with padding")
    # Arguments that are no UTF-8 arrive escaped; fsencode gives back what was typed.
    return os.fsencode(text)


def read_instant(text: str, now_ns: int) -> str:
    """The instant that `text` stands for: itself, or for a duration so long before now. What is neither stays."""
    try:
        return str(Instant(now_ns - Duration.parse(text)))
    except InvalidArgument:
        return text


def read_file(path: str) -> bytes:
    """What the file `path` holds. Raises `InvalidArgument` when it cannot be read."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidArgument(f"the file {path!r} cannot be read: {reason}") from None


def write_bytes(value: bytes) -> str:
    """`value` in the notation that `read_bytes` reads."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or _UNPRINTABLE.search(text):
        if len(value) <= _HEX_BYTES_MAX:
            return f"hex:{value.hex()}"
        return f"base64:{base64.b64encode(value).decode()}"
    return f"text:{text}" if text.startswith(PREFIXES) else text


def harmless(text: str) -> str:
    """`text` with what would steer a terminal written as escapes."""
    shown = _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)
    # What follows it would hide what stands before.
    return shown.replace("\r", "\\r")


def split_pair(text: str, what: str) -> tuple[str, str]:
    """Key and value of `KEY=VALUE`, split at the first `=`. Raises `InvalidArgument` when there is none."""
    key, separator, value = text.partition("=")
    if not separator:
        raise InvalidArgument(f"{text!r} is no {what}", hint=f"write {what}; the key ends at the first `=`")
    return key, value


def _decoded(decode: Callable[[str], bytes], text: str, start: int, form: str) -> bytes:
    try:
        return decode(text[start:])
    except (ValueError, binascii.Error):
        raise InvalidArgument(f"{text[:40]!r} is not right", hint=f"after {text[:start]} come {form}") from None
