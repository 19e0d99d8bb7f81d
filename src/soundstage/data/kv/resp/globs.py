"""Patterns of `MATCH`: a star for any bytes, `?` for one, `[a-c]` for one of them, `[^a]` for none of them.

A backslash takes the next byte as it is. A pattern is cut at its stars. Each piece has a fixed length, so that the
leftmost place of one is always right for all that follow, and no pattern takes longer than its length times that of
what it is tried on.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from soundstage.data.kv.resp.faults import CommandError

PATTERN_MAX_BYTES = 1_024


def matcher(pattern: bytes) -> Callable[[bytes], bool]:
    """Tells whether a name is matched by `pattern` as a whole."""
    if len(pattern) > PATTERN_MAX_BYTES:
        raise CommandError(f"ERR the pattern is over {PATTERN_MAX_BYTES} bytes")
    pieces = [re.compile(piece, re.DOTALL) for piece in _pieces(pattern)]
    lengths = [_length(piece.pattern) for piece in pieces]
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return lambda name: first.fullmatch(name) is not None

    def matches(name: bytes) -> bool:
        found = first.match(name)
        tail = len(name) - lengths[-1]
        if found is None or tail < found.end():
            return False
        at = found.end()
        for piece in pieces[1:-1]:
            found = piece.search(name, at, tail)
            if found is None:
                return False
            at = found.end()
        return last.fullmatch(name, tail) is not None

    return matches


def _pieces(pattern: bytes) -> list[bytes]:
    """What lies between the stars, as regular expressions of one byte after the other."""
    pieces, at = [b""], 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        at += 1
        if byte == b"*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append(b"")
            continue
        if byte == b"?":
            pieces[-1] += b"."
        elif byte == b"[":
            members, at = _members(pattern, at)
            pieces[-1] += members
        else:
            if byte == b"\\" and at < len(pattern):
                byte = pattern[at : at + 1]
                at += 1
            pieces[-1] += _exactly(byte)
    return pieces


def _members(pattern: bytes, at: int) -> tuple[bytes, int]:
    """The class that begins at `at`, and where it ends; one without an end reaches to the pattern's."""
    excludes = pattern[at : at + 1] == b"^"
    at += excludes
    found: set[int] = set()
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            at += 1
        low = pattern[at]
        if pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            high = pattern[at + 2]
            found.update(range(min(low, high), max(low, high) + 1))
            at += 3
        else:
            found.add(low)
            at += 1
    members = b"".join(b"\\x%02x" % each for each in sorted(found))
    if not found:
        return (b"." if excludes else _NEVER), at + 1
    return b"[%b%b]" % (b"^" if excludes else b"", members), at + 1


_NEVER = rb"[^\x00-\xff]"


def _exactly(byte: bytes) -> bytes:
    return b"\\x%02x" % byte[0]


def _length(piece: bytes) -> int:
    """How many bytes a piece matches: one for each class, dot or escaped byte."""
    return len(re.findall(rb"\[[^\]]*\]|\.|\\x..", piece))
