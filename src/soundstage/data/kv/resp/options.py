"""What stands in arguments: numbers, expiry, flags."""

from __future__ import annotations

from typing import NamedTuple

from soundstage.core.limits import TTL_MAX
from soundstage.core.time import INT64_MAX
from soundstage.data.kv.resp.faults import CommandError, syntax

MS = 1_000_000
"""Nanoseconds of a millisecond."""

_UNITS = {b"EX": (1_000, False), b"PX": (1, False), b"EXAT": (1_000, True), b"PXAT": (1, True)}
"""Milliseconds of a unit, and whether it is counted from 1970."""


def integer_of(argument: bytes) -> int:
    """A decimal integer of 64 bits, written plainly."""
    if len(argument) <= 20 and argument.removeprefix(b"-").isdigit():
        value = int(argument)
        if -INT64_MAX - 1 <= value <= INT64_MAX and b"%d" % value == argument:
            return value
    raise CommandError("ERR value is not an integer or out of range")


def id_of(key: bytes) -> str:
    """The id of a record: a key that is text."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise CommandError("ERR the key is no UTF-8: kv names records by text") from None


def field_of(field: bytes) -> bytes:
    """A field that can be stored: the empty one is where strings have their value."""
    if not field:
        raise CommandError("ERR the field is empty: kv keeps the value of a string there")
    return field


def instant_of(amount: bytes, unit_ms: int, absolute: bool, now_ns: int, command: str) -> int:
    """The instant, in nanoseconds, that an amount of units means; it may lie in the past.

    Raises `CommandError` for one later than kv can keep.
    """
    count = integer_of(amount)
    at_ns = count * unit_ms * MS + (0 if absolute else now_ns)
    if at_ns - now_ns > TTL_MAX:
        raise CommandError(f"ERR invalid expire time in '{command}' command: kv keeps an expiry of up to ten years")
    return at_ns


class SetOptions(NamedTuple):
    """What `SET` and `GETEX` may be told besides key and value. `expires_ns` is an instant."""

    expires_ns: int | None = None
    only_new: bool = False
    only_old: bool = False
    returns_old: bool = False
    keeps_expiry: bool = False
    drops_expiry: bool = False

    @property
    def is_plain(self) -> bool:
        return not (self.only_new or self.only_old or self.returns_old or self.keeps_expiry)


_FLAGS = {b"NX": "only_new", b"XX": "only_old", b"GET": "returns_old", b"KEEPTTL": "keeps_expiry"}


def set_options(arguments: list[bytes], now_ns: int) -> SetOptions:
    """The options of `SET`, which begin at the fourth argument."""
    return _options(arguments, 3, _FLAGS, now_ns, "set")


def getex_options(arguments: list[bytes], now_ns: int) -> SetOptions:
    """The options of `GETEX`, which begin at the third argument."""
    return _options(arguments, 2, {b"PERSIST": "drops_expiry"}, now_ns, "getex")


def _options(arguments: list[bytes], at: int, flags: dict[bytes, str], now_ns: int, command: str) -> SetOptions:
    given: dict[str, bool] = {}
    expires_ns: int | None = None
    while at < len(arguments):
        word = arguments[at].upper()
        at += 1
        if word in flags:
            given[flags[word]] = True
        elif word in _UNITS and expires_ns is None and at < len(arguments):
            unit_ms, absolute = _UNITS[word]
            if integer_of(arguments[at]) <= 0:
                raise CommandError(f"ERR invalid expire time in '{command}' command")
            expires_ns = instant_of(arguments[at], unit_ms, absolute, now_ns, command)
            at += 1
        else:
            raise syntax()
    options = SetOptions(expires_ns, **given)
    timed = (expires_ns is not None) + options.keeps_expiry + options.drops_expiry
    if timed > 1 or (options.only_new and options.only_old):
        raise syntax()
    return options
