"""Where a body nests too deep: a scan that needs no stack, run only on bodies that were refused."""

from __future__ import annotations

import re

_JSON_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]', re.DOTALL)

_MAPS = {0xDE: 2, 0xDF: 4}
_ARRAYS = {0xDC: 2, 0xDD: 4}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Text and bin: width of the length before the content."""
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED = (
    {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}  # numbers
    | {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}  # extensions of a fixed size
)


def json_depth_position(body: bytes, limit: int) -> int | None:
    """The byte at which JSON opens more than `limit` levels; None when it never does."""
    depth = 0
    for token in _JSON_TOKEN.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return token.start()
        elif first in b"]}":
            depth -= 1
    return None


def msgpack_depth_position(body: bytes, limit: int) -> int | None:
    """The byte at which MessagePack opens more than `limit` levels; None when it never does."""
    at, pending = 0, [1]
    while pending and at < len(body):
        if not pending[-1]:
            pending.pop()
            continue
        pending[-1] -= 1
        after, children = _step(body, at)
        if children is not None:
            pending.append(children)
            if len(pending) - 1 > limit:
                return at
        at = after
    return None


def _step(body: bytes, at: int) -> tuple[int, int | None]:
    """Where the value at `at` ends or, of a container, its first child begins; and the children's count."""
    code, start = body[at], at + 1
    if code in _MAPS:
        return start + _MAPS[code], 2 * _length(body, start, _MAPS[code])
    if code in _ARRAYS:
        return start + _ARRAYS[code], _length(body, start, _ARRAYS[code])
    if code in _SIZED:
        return start + _SIZED[code] + _length(body, start, _SIZED[code]), None
    if code in _EXTENSIONS:
        return start + _EXTENSIONS[code] + 1 + _length(body, start, _EXTENSIONS[code]), None
    if code & 0xF0 == 0x80:
        return start, 2 * (code & 0x0F)
    if code & 0xF0 == 0x90:
        return start, code & 0x0F
    if code & 0xE0 == 0xA0:
        return start + (code & 0x1F), None
    return start + _FIXED.get(code, 0), None


def _length(body: bytes, at: int, width: int) -> int:
    return int.from_bytes(body[at : at + width], "big")
