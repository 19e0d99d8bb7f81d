"""How the scalar types of messages are written on the wire.

|            | JSON out     | MessagePack out | in, both formats                    |
| ---------- | ------------ | --------------- | ----------------------------------- |
| `Instant`  | RFC 3339     | integer         | either; a string of digits too      |
| `Duration` | text         | text            | text                                |
| `Size`     | integer      | integer         | integer or text                     |

msgspec hands every value of such a type to a hook; these are the hooks.
"""

from __future__ import annotations

import re
from typing import Any

from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size
from soundstage.core.time import INT64_MAX, INT64_MIN, Duration, Instant

_DIGITS = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")


def decode_scalar(expected: type[Any], value: Any) -> Any:
    """The `expected` value that `value` from the wire stands for; msgspec's `dec_hook`.

    Raises `InvalidArgument`; msgspec adds where.
    """
    decode = _DECODERS.get(expected)
    if decode is None:
        raise TypeError(f"messages cannot carry {expected!r}")
    # Programs that configure a stage pass scalars as they are.
    return value if type(value) is expected else decode(value)


def encode_json_scalar(value: Any) -> Any:
    """What JSON carries for `value`; msgspec's `enc_hook`."""
    if isinstance(value, Instant):
        return value.rfc3339()
    return encode_msgpack_scalar(value)


def encode_msgpack_scalar(value: Any) -> Any:
    """What MessagePack carries for `value`; msgspec's `enc_hook`."""
    if isinstance(value, Duration):
        return str(value)
    if isinstance(value, (Instant, Size)):
        return int(value)
    raise TypeError(f"messages cannot carry {type(value)!r}")


def scalar_schema(scalar: type[Any]) -> dict[str, Any]:
    """The JSON Schema of a scalar type; msgspec's `schema_hook`."""
    schema = _SCHEMAS.get(scalar)
    if schema is None:
        raise NotImplementedError(f"messages cannot carry {scalar!r}")
    return schema


def _decode_instant(value: Any) -> Instant:
    if isinstance(value, str):
        return Instant(_int64(int(value))) if _DIGITS.fullmatch(value) else Instant.parse(value)
    return Instant(_int64(_integer(value, "an instant", "nanoseconds since 1970 UTC, or RFC 3339 text")))


def _decode_duration(value: Any) -> Duration:
    if isinstance(value, str):
        return Duration.parse(value)
    raise InvalidArgument("a duration is text", hint='write one as "250ms", with its unit')


def _decode_size(value: Any) -> Size:
    if isinstance(value, str):
        return Size.parse(value)
    size = _int64(_integer(value, "a size", 'a number of bytes, or "4MiB"'))
    if size < 0:
        raise InvalidArgument("a size is not negative", hint="use 0 or more")
    return Size(size)


def _integer(value: Any, what: str, hint: str) -> int:
    if type(value) is not int:
        raise InvalidArgument(f"{what} is an integer or text", hint=f"write {hint}")
    return value


def _int64(value: int) -> int:
    if not INT64_MIN <= value <= INT64_MAX:
        raise InvalidArgument("the integer does not fit 64 bits", hint=f"use {INT64_MIN} to {INT64_MAX}")
    return value


_DECODERS: dict[Any, Any] = {Instant: _decode_instant, Duration: _decode_duration, Size: _decode_size}

_DECIMALS = {"us": 3, "ms": 6, "s": 9, "m": 9, "h": 9, "d": 9, "w": 9}
_DIGITS_MAX = {"us": 15, "ms": 12, "s": 9, "m": 8, "h": 6, "d": 5, "w": 4}

_FRACTIONS = (rf"[0-9]{{1,{_DIGITS_MAX[unit]}}}(\.[0-9]{{1,{_DECIMALS[unit]}}})?{unit}" for unit in _DECIMALS)

DURATION_PATTERN = f"^([0-9]{{1,18}}ns|{'|'.join(_FRACTIONS)})$"
"""Durations from nothing to decades that come out as whole nanoseconds, as a JSON Schema has them."""

_SCHEMAS: dict[Any, dict[str, Any]] = {
    Instant: {
        "anyOf": [
            {
                "type": "string",
                "format": "date-time",
                "description": "RFC 3339 with up to nine fraction digits, 1677 to 2262",
            },
            {
                "type": "integer",
                "minimum": INT64_MIN,
                "maximum": INT64_MAX,
                "description": "nanoseconds since 1970 UTC",
            },
        ],
        "examples": ["2026-11-24T08:15:00Z"],
    },
    Duration: {
        "type": "string",
        "pattern": DURATION_PATTERN,
        "examples": ["250ms", "16d"],
    },
    Size: {"type": "integer", "minimum": 0, "maximum": INT64_MAX, "description": "bytes"},
}
