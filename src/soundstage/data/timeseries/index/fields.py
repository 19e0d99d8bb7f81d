"""What of an event is in its document, and under which names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from math import inf, isfinite
from typing import Any

import msgspec

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import NS_PER_US, Instant
from soundstage.data.timeseries.api import Event
from soundstage.data.timeseries.config import FieldKind
from soundstage.engines.search.port import INSTANT_MAX_US, KEYWORD_MAX_BYTES, Field, IndexSpec, Kind
from soundstage.engines.search.queries import Scalar

TIME, MOMENT, SERIES, EVENT = "t", "u", "s", "e"
"""The time of an event to the nanosecond, and to the microsecond; whose it is; its id."""

TIME_MIN, TIME_MAX = 1 - (1 << 63), (1 << 63) - 2
"""What an integer of an index holds; a nanosecond at either end of time is put where its neighbour is."""

DOCUMENT_BYTES = 240 << 10
"""What lies over that in the longest texts of a document is not in it."""

_encode = msgspec.json.Encoder().encode

_INTEGER = re.compile(rb"[+-]?[0-9]{1,19}")
_DOUBLE = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Fields:
    """The fields of an index, by the item keys that the namespace names."""

    def __init__(self, kinds: Mapping[str, FieldKind]) -> None:
        self._kinds = {key: Kind(kind) for key, kind in kinds.items()}
        self._names = {key: _name(key, kind) for key, kind in self._kinds.items()}
        self.digest: str = blake2b(msgspec.json.encode(sorted(self._names.values())), digest_size=4).hexdigest()

    def spec(self, name: str) -> IndexSpec:
        """An index of these fields."""
        own = {
            TIME: Field(kind=Kind.INTEGER),
            MOMENT: Field(kind=Kind.INSTANT),
            SERIES: Field(kind=Kind.KEYWORD),
            EVENT: Field(kind=Kind.KEYWORD),
        }
        return IndexSpec(
            name=name, fields=own | {self._names[key]: Field(kind=self._kinds[key]) for key in self._kinds}
        )

    def document(self, event: Event) -> tuple[dict[str, Any], int, int]:
        """What of `event` is in its document, of how many items the values are not what their fields hold, its size."""
        time_ns = int(event.event_time)
        found: dict[str, Any] = {TIME: bounded(time_ns), SERIES: event.time_series_id, EVENT: event.event_id}
        if abs(time_ns) // NS_PER_US < INSTANT_MAX_US:
            found[MOMENT] = time_ns // NS_PER_US
        unfit = 0
        for item in event.event_items:
            kind = self._kinds.get(item.event_item_key)
            if kind is None:
                continue
            value = _VALUES[kind](item.event_item_value)
            if value is None:
                unfit += 1
            else:
                found[self._names[item.event_item_key]] = value
        while (size := len(_encode(found))) > DOCUMENT_BYTES:
            del found[max((name for name in found if name.startswith("i_")), key=lambda name: len(str(found[name])))]
            unfit += 1
        return found, unfit, size

    def field(self, key: str, place: str) -> tuple[str, Kind]:
        """The field of an item key. Raises `InvalidArgument` for one that is not in the index."""
        if key not in self._names:
            known = ", ".join(sorted(self._names)[:20]) or "none"
            raise InvalidArgument(
                f"items under {key[:80]!r} are not in the index", field=place, hint=f"those in it: {known}"
            )
        return self._names[key], self._kinds[key]

    def value(self, key: str, value: bytes, place: str) -> Scalar:
        """`value` as the field has it. Raises `InvalidArgument` for one that it cannot have."""
        _, kind = self.field(key, place)
        found = _VALUES[kind](value)
        if found is None:
            raise InvalidArgument(f"the value is no {kind.value}", field=place, hint=_HINTS.get(kind, "send text"))
        return found


def bounded(time_ns: int) -> int:
    """A time as documents have it."""
    # Plain: an engine may not know what else is a number.
    return int(min(max(time_ns, TIME_MIN), TIME_MAX))


def _name(key: str, kind: Kind) -> str:
    return "i_" + blake2b(f"{kind.value}/{key}".encode(), digest_size=8).hexdigest()


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _keyword(value: bytes) -> str | None:
    return _text(value) if len(value) <= KEYWORD_MAX_BYTES else None


def _integer(value: bytes) -> int | None:
    found = int(value) if _INTEGER.fullmatch(value) else None
    return found if found is not None and TIME_MIN <= found <= TIME_MAX else None


def _double(value: bytes) -> float | None:
    # More than that Python would take: `1_000`, `nan`.
    found = float(value) if _DOUBLE.fullmatch(value) else inf
    return found if isfinite(found) else None


def _boolean(value: bytes) -> bool | None:
    return {b"true": True, b"false": False}.get(value)


def _instant(value: bytes) -> int | None:
    """Microseconds, of an integer of nanoseconds or a time as RFC 3339 has it."""
    time_ns = _integer(value)
    if time_ns is None:
        try:
            time_ns = int(Instant.parse(value.decode()))
        except ValueError:
            return None
    found = time_ns // NS_PER_US
    return found if abs(found) <= INSTANT_MAX_US else None


_VALUES: dict[Kind, Any] = {
    Kind.KEYWORD: _keyword,
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.DOUBLE: _double,
    Kind.BOOLEAN: _boolean,
    Kind.INSTANT: _instant,
}

_HINTS = {
    Kind.INTEGER: "send it in digits, within 64 bits",
    Kind.DOUBLE: "send it in digits, such as -1.5e3",
    Kind.BOOLEAN: "send true or false",
    Kind.INSTANT: "send 2026-11-27T08:15:00Z, or nanoseconds since 1970",
}
