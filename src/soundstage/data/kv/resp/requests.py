"""Commands out of bytes: arrays of bulk strings, and lines typed by people.

Whole commands, which is what most reads hold, are taken apart by one split at line ends; that reading is right if, and
only if, every argument is as long as its head says. Anything else goes through the incremental reader.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LINE_MAX_BYTES = 64 << 10
"""A command typed as a line; the head of an array or argument is shorter."""

HEAD_MAX_BYTES = 32

FOREIGN = "Protocol error: this is HTTP, and the door speaks RESP"
"""What a browser is told, which sends to any port what the page in it says."""

UNKNOWN_ARGUMENTS_MAX = 10
UNKNOWN_BYTES_MAX = 16 << 10
"""Of a command from a peer that has not said who it is."""

_END = b"\r\n"
_BLANK = re.compile(rb"\s*")
_WORD = re.compile(rb"""(?:([^\s"']+)|"((?:\\.|[^"\\])*)"|'((?:\\'|[^'])*)')(?=\s|$)""", re.DOTALL)
_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}
_LENGTHS = tuple(b"$%d" % length for length in range(1_024))
_COUNTS = {b"*%d" % count: count for count in range(1, 33)}


class Limits(NamedTuple):
    """Arguments of a command, and the bytes of all of them."""

    arguments: int
    bytes: int


UNKNOWN = Limits(UNKNOWN_ARGUMENTS_MAX, UNKNOWN_BYTES_MAX)


class Requests:
    """Reads one connection. After malformed input `failure` says what is wrong, and nothing more is read.

    While the limits are `UNKNOWN`, one command is read at a time: it may change them for what follows it.
    """

    __slots__ = ("_arguments", "_buffer", "_length", "_missing", "_size", "failure", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits: Limits = limits
        self.failure: str | None = None
        self._buffer = bytearray()
        self._arguments: list[bytes] = []
        self._missing = 0
        self._length = -1
        self._size = 0

    @property
    def held(self) -> int:
        """Bytes of which no command was made yet."""
        return len(self._buffer) + self._size

    def keep(self, data: bytes) -> None:
        """`data` is read with what `feed` is given next."""
        if self.failure is None:
            self._buffer += data

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The commands that are complete with `data`, each with its name first; while `UNKNOWN`, the first of them."""
        found: list[list[bytes]] = []
        if self.failure is None:
            if not self._buffer and not self._missing and self.limits is not UNKNOWN:
                data = self._split(data, found)
            self._buffer += data
            if self._buffer:
                self._read(found)
        return found

    def _split(self, data: bytes, found: list[list[bytes]]) -> bytes:
        """Take whole commands from the front of `data`; returns what is left of it."""
        if data[:1] != b"*" or len(data) > self.limits.bytes:
            return data
        parts = data.split(_END)
        at, last = 0, len(parts) - 1
        most = self.limits.arguments
        while at < last:
            count = _COUNTS.get(parts[at], 0)
            stop = at + 1 + 2 * count
            if not count or stop > last or count > most:
                break
            arguments = parts[at + 2 : stop : 2]
            if parts[at + 1 : stop : 2] != [_length_of(argument) for argument in arguments]:
                break
            found.append(arguments)
            at = stop
        if at == last:
            return parts[last]
        taken = sum(map(len, parts[:at])) + 2 * at
        return data[taken:]

    def _read(self, found: list[list[bytes]]) -> None:
        buffer, at = self._buffer, 0
        while self.failure is None and not (found and self.limits is UNKNOWN):
            if self._length >= 0:
                end = at + self._length
                if len(buffer) < end + 2:
                    break
                if not buffer.startswith(_END, end):
                    self.failure = "Protocol error: expected a line end after an argument"
                    break
                self._arguments.append(bytes(buffer[at:end]))
                self._size += self._length
                self._length = -1
                self._missing -= 1
                at = end + 2
                if not self._missing:
                    found.append(self._arguments)
                    self._arguments, self._size = [], 0
                continue
            end = buffer.find(b"\n", at, at + LINE_MAX_BYTES)
            if end < 0:
                if len(buffer) - at >= LINE_MAX_BYTES:
                    self.failure = "Protocol error: too big inline request"
                break
            line = bytes(buffer[at : end - buffer.startswith(_END, end - 1) if end > at else end])
            at = end + 1
            if self._missing:
                self._begin_argument(line)
            elif line[:1] == b"*":
                self._begin_command(line)
            else:
                self._take_line(line, found)
        del buffer[:at]

    def _begin_command(self, line: bytes) -> None:
        count = _number(line)
        if count is None or count > self.limits.arguments:
            known = self.limits is not UNKNOWN
            self.failure = f"Protocol error: {'' if known else 'unauthenticated '}invalid multibulk length"
        elif count > 0:
            self._missing = count

    def _begin_argument(self, line: bytes) -> None:
        if line[:1] != b"$":
            self.failure = f"Protocol error: expected '$', got {line[:1].decode('latin-1')!r}"
            return
        length = _number(line)
        if length is None or length < 0 or self._size + length > self.limits.bytes:
            known = self.limits is not UNKNOWN
            self.failure = f"Protocol error: {'' if known else 'unauthenticated '}invalid bulk length"
        else:
            self._length = length

    def _take_line(self, line: bytes, found: list[list[bytes]]) -> None:
        words = words_of(line)
        if words is None:
            self.failure = "Protocol error: unbalanced quotes in request"
        elif words and (words[0].upper() == b"POST" or words[0][:5].upper() == b"HOST:"):
            # What follows is the body, or what else a page may choose: none of it is to be run.
            self.failure = FOREIGN
        elif len(words) > self.limits.arguments:
            self.failure = "Protocol error: too many words in a line"
        elif words:
            found.append(words)


def words_of(line: bytes) -> list[bytes] | None:
    """The words of a line, quoted ones without their quotes; None where a quote is not closed, or not at an end."""
    words: list[bytes] = []
    at, end = 0, len(line)
    while (at := _BLANK.match(line, at).end()) < end:  # type: ignore[union-attr]
        word = _WORD.match(line, at)
        if word is None:
            return None
        plain, double, single = word.groups()
        if plain is not None:
            words.append(plain)
        elif double is not None:
            words.append(_ESCAPE.sub(_unescaped, double))
        else:
            words.append(single.replace(b"\\'", b"'"))
        at = word.end()
    return words


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code[1:], 16)]) if len(code) == 3 else _ESCAPED.get(code, code)


def _length_of(argument: bytes) -> bytes:
    size = len(argument)
    return _LENGTHS[size] if size < 1_024 else b"$%d" % size


def _number(line: bytes) -> int | None:
    """The number after the first byte; None for what is none."""
    digits = line[1:]
    if len(digits) > HEAD_MAX_BYTES or not digits.removeprefix(b"-").isdigit():
        return None
    return int(digits)
