"""Instants and durations."""

from __future__ import annotations


class Instant(int):
    """Nanoseconds since 1970 UTC. On the wire: RFC 3339 text in JSON, the integer in MessagePack."""

    __slots__ = ()


class Duration(int):
    """A length of time in nanoseconds. On the wire: text such as `"250ms"` or `"16d"`."""

    __slots__ = ()
