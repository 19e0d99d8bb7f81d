"""Replies as bytes. Where the two versions of the protocol differ, a function takes the version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

OK = b"+OK\r\n"
PONG = b"+PONG\r\n"
ZERO = b":0\r\n"
ONE = b":1\r\n"
EMPTY_ARRAY = b"*0\r\n"

NULLS = {2: b"$-1\r\n", 3: b"_\r\n"}
"""Nothing, by version of the protocol."""


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def text(value: str) -> bytes:
    """A bulk string of `value` in UTF-8."""
    return bulk(value.encode())


def simple(value: str) -> bytes:
    """A status: one line."""
    return b"+%b\r\n" % value.encode()


def integer(value: int) -> bytes:
    return b":%d\r\n" % value


def error(line: str) -> bytes:
    """An error; its first word is what clients know it by. Line ends in it become spaces."""
    return b"-%b\r\n" % " ".join(line.split()).encode("utf-8", "replace")


def array(replies: Sequence[bytes]) -> bytes:
    """`replies` one after the other, each made already."""
    return b"*%d\r\n%b" % (len(replies), b"".join(replies))


def bulks(values: Sequence[bytes]) -> bytes:
    return array([bulk(value) for value in values])


def mapping(protocol: int, pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Names with values, each made already: a map, or an array that alternates."""
    made = list(pairs)
    head = b"%%%d\r\n" % len(made) if protocol == 3 else b"*%d\r\n" % (2 * len(made))
    return head + b"".join(name + value for name, value in made)
