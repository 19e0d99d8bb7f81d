"""Walks over a table along the ring: a segment is an equal part of all tokens.

A page is what one request for a stretch of the ring found, after the rest of the partition where the last page was
cut. Where a stretch is too long for Cassandra, because of what was deleted there or because the rows of other tables
lie between, a shorter one is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, SoundstageError, Unavailable
from soundstage.engines.records.cassandra import deletions, schema
from soundstage.engines.records.cassandra.catalogue import Table
from soundstage.engines.records.cassandra.failures import Overgrown, TooManyTombstones, TooSlow
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.reading import Found, Reader, Statics, live_rows
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.metering import Meter
from soundstage.engines.records.port import (
    KEY_CEILING,
    PARTITION_MAX_BYTES,
    Budget,
    Row,
    Span,
    WalkPage,
)
from soundstage.engines.records.segments import encode_position, segment_bounds

RING_LOW, RING_HIGH = -(1 << 63), (1 << 63) - 1
LIMIT_MIN, LIMIT_MAX = 64, 10_000
TOKEN_BYTES = 8
SHORTER = 8
"""By how much a stretch is shorter than one that could not be read."""

_parse = msgspec.msgpack.Decoder(tuple[bytes, bytes]).decode
_partition_of = itemgetter(0)


class Stretch(NamedTuple):
    """Rows of the ring, in its order, up to the token `high`; `is_whole` when no more of them lie there."""

    rows: list[Any]
    high: int
    is_whole: bool


class Walker:
    """Walks tables of both kinds."""

    def __init__(self, link: Link, requests: Requests, reader: Reader, environment: Environment) -> None:
        self._link = link
        self._requests = requests
        self._reader = reader
        self._environment = environment

    async def page(
        self, table: Table, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        """See `Records.walk`."""
        first, last = (bound + RING_LOW for bound in segment_bounds(segment, segments))
        last -= 1
        partitions: list[tuple[bytes, list[Row]]] = []
        meter = Meter(Budget(budget.rows, budget.bytes), self._environment)
        if position is not None:
            after, start = self._parse(table, position, first, last)
            if self._requests.is_late(budget.deadline_ns):
                return WalkPage([], position)
            if not after:
                return await self._onward(table, _token(start), last, partitions, meter, budget, now_us)
            try:
                behind = await self.neighbours(table, after, budget.deadline_ns)
            except DeadlineExceeded:
                return WalkPage([], position)
            for partition, begin in [(after, start), *((one, b"") for one in behind)]:
                page = await self._reader.page(table, partition, Span(begin), budget, now_us)
                ended = _take(partitions, partition, page.rows, page.resume, meter, begin)
                if ended is not None:
                    return ended
            first = self._link.token(table.number, after) + 1
        return await self._onward(table, first, last, partitions, meter, budget, now_us)

    async def rows(
        self,
        table: Table,
        statement: Any,
        first: int,
        last: int,
        limit: int,
        deadline_ns: int | None = None,
        *,
        level: int | None = None,
    ) -> Stretch:
        """Up to `limit` rows from the token `first` on, of a stretch short enough to be read.

        `level`: by default that at which what the table's writes listed is found again.
        """
        level = self._requests.levels(table.spec).lists if level is None else level
        high = last
        while True:
            try:
                values = (first, high, table.number, limit)
                rows = await self._requests.scan(statement, values, deadline_ns, level=level)
            except (TooManyTombstones, TooSlow) as met:
                if high <= first:
                    raise _refusal(met, first) from None
                high = first + (high - first) // SHORTER
                continue
            return Stretch(rows, high, len(rows) < limit)

    def limit(self, table: Table, budget: Budget) -> int:
        """How many rows to ask for at once."""
        return max(LIMIT_MIN, min(budget.rows + 1, int(budget.bytes / table.row_bytes) + 1, LIMIT_MAX))

    def token(self, table: Table, partition: bytes) -> int:
        """Where a partition is on the ring."""
        return self._link.token(table.number, partition)

    async def _onward(
        self,
        table: Table,
        first: int,
        last: int,
        partitions: list[tuple[bytes, list[Row]]],
        meter: Meter,
        budget: Budget,
        now_us: int,
    ) -> WalkPage:
        limit = self.limit(table, budget)
        while first <= last:
            if self._requests.is_late(budget.deadline_ns):
                return WalkPage(partitions, _position_at(first), cut=False)
            try:
                found = await self.rows(table, table.statements.ring, first, last, limit, budget.deadline_ns)
            except DeadlineExceeded:
                return WalkPage(partitions, _position_at(first), cut=False)
            for partition, rows, is_last in split(found.rows, table.conditional):
                live = live_rows(rows, now_us)
                cut = None if found.is_whole or not is_last else _reached(found.rows[-1])
                ended = _take(partitions, partition, live, cut, meter, None)
                if ended is not None:
                    return ended
            first = found.high + 1
        return WalkPage(partitions, None)

    async def neighbours(
        self, table: Table, partition: bytes, deadline_ns: int | None = None, *, whole: bool = False
    ) -> list[bytes]:
        """The partitions that lie behind one at its own token, which hardly ever are any."""
        token = self._link.token(table.number, partition)
        try:
            level = self._requests.levels(table.spec).whole if whole else self._requests.levels(table.spec).lists
            rows = await self._requests.read(table.statements.ids, (token,), deadline_ns, level=level)
        except TooManyTombstones:
            # Cassandra looks for a row that lives before it names a partition.
            raise Overgrown from None
        behind = [found for number, found in rows if number == table.number]
        return behind[behind.index(partition) + 1 :] if partition in behind else []

    def _parse(self, table: Table, position: bytes, first: int, last: int) -> tuple[bytes, bytes]:
        try:
            partition, start = _parse(position)
        except msgspec.MsgspecError:
            raise InvalidArgument("the position is none that a walk returned", field="position") from None
        is_token = not partition and len(start) == TOKEN_BYTES
        if not is_token and (not 1 <= len(partition) <= PARTITION_MAX_BYTES or len(start) > len(KEY_CEILING)):
            raise InvalidArgument("the position is none that a walk returned", field="position")
        if not first <= (_token(start) if is_token else self._link.token(table.number, partition)) <= last:
            raise InvalidArgument("the position is of another segment", field="position")
        return partition, start


def split(rows: list[Any], conditional: bool) -> Iterator[tuple[bytes, Found, bool]]:
    """The partitions of a stretch, each with what was found of it, and whether it is the last."""
    groups = [(partition, list(group)) for partition, group in groupby(rows, _partition_of)]
    for partition, group in groups:
        statics = Statics(*group[0][1:-3])
        items = [row for row in group if row[-3] == schema.ITEM]
        ranges = [deletions.parse_row(row[-2], row[-1]) for row in group if row[-3] == schema.RANGE and row[-1]]
        fragments = deletions.fragments_of(ranges, statics.tombstone) if conditional else ()
        yield partition, Found(statics, items, fragments), group is groups[-1][1]


def _refusal(met: TooManyTombstones | TooSlow, token: int) -> SoundstageError:
    """What is said where the rows of a single token cannot be read."""
    if isinstance(met, TooManyTombstones):
        return Overgrown(token)
    return Unavailable(
        "Cassandra did not give a part of the table in time",
        hint="repeat the call; see to the cluster if it goes on",
        outcome="not_applied",
    )


def _position_at(token: int) -> bytes:
    """Where a walk goes on that has come to no partition: with the first at `token` or behind it."""
    return encode_position(b"", (token - RING_LOW).to_bytes(TOKEN_BYTES, "big"))


def _token(start: bytes) -> int:
    return int.from_bytes(start, "big") + RING_LOW


def _reached(row: Any) -> bytes:
    """Where a partition goes on of which `row` was the last that was read."""
    kind, key = row[-3], row[-2]
    if kind is not None and kind < schema.ITEM:
        return b""
    return key + b"\0" if kind == schema.ITEM else KEY_CEILING


def _take(
    partitions: list[tuple[bytes, list[Row]]],
    partition: bytes,
    found: list[Row],
    resume: bytes | None,
    meter: Meter,
    start: bytes | None,
) -> WalkPage | None:
    """As many rows of a partition as `meter` takes are among `partitions`; the page, where it ends with them.

    `start` is where the page before had come to in it, None for a partition that no page has been at.
    """
    rows: list[Row] = []
    for row in found:
        if not meter.takes(row):
            resume = row[0] if rows else start or b""
            break
        rows.append(row)
    if rows:
        partitions.append((partition, rows))
    if resume is None:
        return None
    if not rows and start is None:
        # Dead rows were passed before the first live one: they are looked at again, together with it.
        return WalkPage(partitions, encode_position(partition, b""), cut=False)
    return WalkPage(partitions, encode_position(partition, resume))
