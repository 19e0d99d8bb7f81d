"""Instants and durations: integers of nanoseconds that know how they are written.

`Instant` reads and writes RFC 3339. Its texts arrive by the thousand in one body, so the calendar is
looked up and not computed: days in a bounded cache, minutes and seconds in tables that are complete.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from soundstage.core.errors import InvalidArgument
from soundstage.core.quantity import parse_quantity

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

_S_PER_DAY = 86_400
_NS_PER_DAY = _S_PER_DAY * NS_PER_S
_EPOCH = date(1970, 1, 1).toordinal()

_MINUTE_TEXTS = [f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(1440)]
_MINUTE_NS = {text: minute * 60 * NS_PER_S for minute, text in enumerate(_MINUTE_TEXTS)}
_SECOND_TEXTS = [f":{second:02d}" for second in range(60)]
_SECOND_NS = {text: second * NS_PER_S for second, text in enumerate(_SECOND_TEXTS)}

_FRACTION_NS = [10 ** (9 - digits) for digits in range(10)]

_UNITS = {
    "ns": 1,
    "us": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "d": _NS_PER_DAY,
    "w": 7 * _NS_PER_DAY,
}
# Weeks are read but not written: "16d" next to "14d" compares at sight.
_WRITTEN_UNITS = [(unit, size) for unit, size in reversed(_UNITS.items()) if unit != "w"]


class Instant(int):
    """Nanoseconds since 1970 UTC, within int64 (1677 to 2262).

    On the wire: RFC 3339 text in JSON, the integer in MessagePack; either is read in both. Arithmetic
    gives plain integers of nanoseconds.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Instant:
        """The instant that an RFC 3339 `text` names: `2026-11-24T08:15:00.123456789Z` or with `+01:00`.

        Up to nine fraction digits. Raises `InvalidArgument` for anything else; also for a leap second
        (`:60`), which int64 nanoseconds cannot tell from the second after it.
        """
        try:
            ns = _day_ns(text[:10]) + _MINUTE_NS[text[11:16]] + _SECOND_NS[text[16:19]] + _tail_ns(text[19:])
        except (LookupError, ValueError):
            raise _refusal(text) from None
        if text[10] not in "Tt" or not INT64_MIN <= ns <= INT64_MAX:
            raise _refusal(text)
        return cls(ns)

    @classmethod
    def from_us(cls, us: int) -> Instant:
        """The instant `us` microseconds after 1970 UTC."""
        return cls(us * NS_PER_US)

    @property
    def us(self) -> int:
        """Microseconds since 1970 UTC, floored."""
        return self // NS_PER_US

    def rfc3339(self) -> str:
        """UTC text ending in `Z`, with 0, 3, 6 or 9 fraction digits: the fewest that are exact."""
        return _instant_text(self)

    def __str__(self) -> str:
        return self.rfc3339()

    def __repr__(self) -> str:
        return f"Instant({int(self)})"


class Duration(int):
    """A length of time in nanoseconds, within int64. On the wire: text such as `"250ms"` or `"16d"`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Duration:
        """The duration that `text` names: a number, then one of ns us ms s m h d w.

        The number may have a sign and decimals as long as whole nanoseconds come out. Raises
        `InvalidArgument` for anything else.
        """
        return cls(_duration_ns(text))

    @property
    def us(self) -> int:
        """Microseconds, floored."""
        return self // NS_PER_US

    @property
    def seconds(self) -> float:
        """Seconds, as sleeps and time-outs take them."""
        return self / NS_PER_S

    def __str__(self) -> str:
        """The number of the largest unit, up to days, that is exact."""
        if not self:
            return "0s"
        return next(f"{self // size}{unit}" for unit, size in _WRITTEN_UNITS if self % size == 0)

    def __repr__(self) -> str:
        return f"Duration({int(self)})"


@lru_cache(maxsize=1024)
def _instant_text(ns: int) -> str:
    # What was written together is read together: the instants of a reply are often one.
    seconds, ns = divmod(ns, NS_PER_S)
    minutes, second = divmod(seconds, 60)
    day, minute = divmod(minutes, 1440)
    text = f"{_day_text(day)}T{_MINUTE_TEXTS[minute]}{_SECOND_TEXTS[second]}"
    return f"{text}.{_fraction(ns)}Z" if ns else text + "Z"


@lru_cache(maxsize=4096)
def _day_ns(text: str) -> int:
    # fromisoformat() reads other ISO 8601 forms too, such as 2026W485 padded to ten characters.
    if text[4] != "-" or text[7] != "-" or not (text[:4] + text[5:7] + text[8:]).isdecimal() or not text.isascii():
        raise ValueError(text)
    return (date.fromisoformat(text).toordinal() - _EPOCH) * _NS_PER_DAY


@lru_cache(maxsize=4096)
def _day_text(day: int) -> str:
    return date.fromordinal(day + _EPOCH).isoformat()


@lru_cache(maxsize=1024)
def _duration_ns(text: str) -> int:
    return parse_quantity(text, _UNITS, "duration", "250ms")


def _tail_ns(tail: str) -> int:
    """The fraction of a second and the offset from UTC, as nanoseconds to add."""
    if tail[-1] in "Zz":
        fraction, offset_ns = tail[:-1], 0
    else:
        fraction, offset_ns = tail[:-6], _offset_ns(tail[-6:])
    if not fraction:
        return -offset_ns
    digits = fraction[1:]
    if fraction[0] != "." or not (digits.isdecimal() and digits.isascii()):
        raise ValueError(tail)
    return int(digits) * _FRACTION_NS[len(digits)] - offset_ns


def _offset_ns(text: str) -> int:
    if len(text) != 6 or text[0] not in "+-":
        raise ValueError(text)
    ns = _MINUTE_NS[text[1:]]
    return ns if text[0] == "+" else -ns


def _fraction(ns: int) -> str:
    if ns % NS_PER_MS == 0:
        return f"{ns // NS_PER_MS:03d}"
    return f"{ns // NS_PER_US:06d}" if ns % NS_PER_US == 0 else f"{ns:09d}"


def _refusal(text: str) -> InvalidArgument:
    hint = 'write one as "2026-11-24T08:15:00Z", with up to nine fraction digits, between 1677 and 2262'
    if text[16:19] == ":60":
        hint = "leap seconds cannot be represented; use the second before or after"
    return InvalidArgument(f"{text[:40]!r} is no RFC 3339 instant", hint=hint)
