"""What was asked of a store and what it answered, and whether the one can explain the other.

The rule of conflicts is written here a second time, in plain tuples and without the product's code, so that
a fault in one of the two shows as a divergence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

PUT, DELETE = 0, 1


class Version(NamedTuple):
    """Compared as a tuple: time, delete over put, token text, expiry, value."""

    time_us: int
    kind: int
    token: str
    expires_us: int = 0
    value: bytes = b""

    def live_at(self, now_us: int) -> bool:
        return self.kind == PUT and (self.expires_us == 0 or now_us < self.expires_us)


class Span(NamedTuple):
    """Keys that a delete covers: start inclusive, end exclusive, None open."""

    start: bytes = b""
    end: bytes | None = None

    def covers(self, key: bytes) -> bool:
        return self.start <= key and (self.end is None or key < self.end)


class PutValue(NamedTuple):
    value: bytes
    ttl_us: int | None = None


class Write(msgspec.Struct, kw_only=True):
    """One write as sent, and what became of it.

    `time_us` is the effective time, once known; `token_time_us` the one sent. `begun` and `acknowledged`
    count the history's events; `refused` says that it certainly changed nothing.
    """

    record: str
    token: str
    token_time_us: int
    begun: int
    puts: dict[bytes, PutValue] = {}
    span: Span | None = None
    keys: tuple[bytes, ...] = ()
    conditional: bool = False
    time_us: int | None = None
    acknowledged: int | None = None
    refused: bool = False

    def version_of(self, key: bytes) -> Version | None:
        """The version this write gives `key`, None where it does not touch it."""
        time_us = self.token_time_us if self.time_us is None else self.time_us
        put = self.puts.get(key)
        if put is not None:
            expires_us = 0 if put.ttl_us is None else self.token_time_us + put.ttl_us
            return Version(time_us, PUT, self.token, expires_us, put.value)
        if key in self.keys or (self.span is not None and self.span.covers(key)):
            return Version(time_us, DELETE, self.token)
        return None

    def record_version(self) -> tuple[int, int, str]:
        time_us = self.token_time_us if self.time_us is None else self.time_us
        return (time_us, PUT if self.puts else DELETE, self.token)


class Seen(NamedTuple):
    """An item as a reply showed it."""

    time_us: int
    token: str
    expires_us: int
    value: bytes


Observed: TypeAlias = dict[bytes, Seen]


class Divergence(AssertionError):
    """The store gave an answer that no order of its faults explains."""


class History:
    """Every write of a run; a clock of events orders them against reads."""

    def __init__(self) -> None:
        self.events: int = 0
        self.writes: dict[str, list[Write]] = {}

    def tick(self) -> int:
        self.events += 1
        return self.events

    def begin(self, write: Write) -> Write:
        self.writes.setdefault(write.record, []).append(write)
        return write

    def acknowledge(self, write: Write, time_us: int) -> None:
        write.time_us = time_us
        write.acknowledged = self.tick()

    def records(self) -> Iterator[str]:
        return iter(self.writes)

    def unresolved(self) -> list[Write]:
        return [
            write
            for writes in self.writes.values()
            for write in writes
            if write.acknowledged is None and not write.refused
        ]

    def newest(self, record: str, before: int) -> tuple[int, int, str] | None:
        """The greatest version that the record had certainly accepted by event `before`."""
        return max((write.record_version() for write in self._certain(record, before)), default=None)

    def expected(self, record: str, key: bytes, before: int) -> Version | None:
        """The version that wins `key` among the writes acknowledged by event `before`."""
        found = (write.version_of(key) for write in self._certain(record, before))
        return max((version for version in found if version is not None), default=None)

    def quiet(self, record: str, since: int) -> bool:
        """Whether no other write to the record was under way at or after event `since`."""
        return all(
            write.refused or (write.acknowledged is not None and write.acknowledged <= since)
            for write in self.writes.get(record, ())
        )

    def quiet_but(self, own: Write) -> bool:
        """Whether nothing else touched the record of `own` since it began."""
        return all(
            write is own or write.refused or (write.acknowledged is not None and write.acknowledged < own.begun)
            for write in self.writes.get(own.record, ())
        )

    def check_page(
        self,
        record: str,
        covered: Sequence[bytes],
        observed: Observed,
        began: int,
        ended: int,
        now_us: tuple[int, int],
    ) -> None:
        """Raise `Divergence` unless `observed` can be what the keys `covered` held during the read.

        `began` and `ended` are the events, `now_us` the store's clock, between which the page was made.
        """
        maybe = [
            write
            for write in self.writes.get(record, ())
            if not write.refused and write.begun <= ended and (write.acknowledged is None or write.acknowledged > began)
        ]
        for key in covered:
            self._check_key(record, key, observed.get(key), began, maybe, now_us)
        stray = observed.keys() - set(covered)
        if stray:
            raise Divergence(f"record {record!r} shows keys nobody asked for: {sorted(stray)}")
        for write in maybe:
            _check_whole(write, covered, observed)

    def _certain(self, record: str, before: int) -> Iterator[Write]:
        return (
            write
            for write in self.writes.get(record, ())
            if write.acknowledged is not None and write.acknowledged <= before
        )

    def _check_key(
        self, record: str, key: bytes, seen: Seen | None, began: int, maybe: list[Write], now_us: tuple[int, int]
    ) -> None:
        least = self.expected(record, key, began)
        if seen is None:
            _check_absent(record, key, least, maybe, now_us)
            return
        shown = Version(seen.time_us, PUT, seen.token, seen.expires_us, seen.value)
        where = f"record {record!r} key {key!r}"
        if not self._was_written(record, key, seen, maybe, began):
            raise Divergence(f"{where} shows {shown}, which nobody wrote")
        if least is not None and shown < least:
            raise Divergence(f"{where} shows {shown} although {least} was acknowledged before")
        if not shown.live_at(now_us[0]):
            raise Divergence(f"{where} shows {shown}, expired at {now_us[0]}")

    def _was_written(self, record: str, key: bytes, seen: Seen, maybe: list[Write], began: int) -> bool:
        for write in (*self._certain(record, began), *maybe):
            put = write.puts.get(key)
            if put is None or write.token != seen.token or put.value != seen.value:
                continue
            version = write.version_of(key)
            stamped_later = write.conditional and write.time_us is None
            if version is None or version.expires_us != seen.expires_us:
                continue
            if stamped_later or version.time_us == seen.time_us:
                return True
        return False


def _check_absent(
    record: str, key: bytes, least: Version | None, maybe: Iterable[Write], now_us: tuple[int, int]
) -> None:
    if least is None or not least.live_at(now_us[1]):
        return
    for write in maybe:
        version = write.version_of(key)
        unknown = write.conditional and write.time_us is None
        if version is not None and (unknown or version > least) and not version.live_at(now_us[1]):
            return
    raise Divergence(f"record {record!r} key {key!r} is missing although {least} was acknowledged before")


def _check_whole(write: Write, covered: Sequence[bytes], observed: Observed) -> None:
    """A write that a page shows in one item is shown, or surpassed, in all its items of that page."""
    shown = [key for key in covered if (seen := observed.get(key)) is not None and _is_of(write, key, seen)]
    if not shown or write.time_us is None:
        return
    for key in covered:
        version = write.version_of(key)
        seen = observed.get(key)
        if version is None or seen is None:
            continue
        if Version(seen.time_us, PUT, seen.token, seen.expires_us, seen.value) < version:
            raise Divergence(
                f"record {write.record!r} shows {write.token} in {shown[0]!r} but the older {seen} in {key!r}"
            )


def _is_of(write: Write, key: bytes, seen: Seen) -> bool:
    put = write.puts.get(key)
    return put is not None and seen.token == write.token and seen.value == put.value
