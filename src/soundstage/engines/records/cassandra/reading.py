"""Pages of one partition, each of which is what one request to Cassandra found.

Cassandra limits rows and not bytes, so a page asks for as many rows as are likely to fill it. Where they do not, the
page is asked for anew with more of them, and not put together from two moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.records.cassandra import deletions, schema
from soundstage.engines.records.cassandra.catalogue import Table
from soundstage.engines.records.cassandra.failures import Overgrown, TooManyTombstones
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.metering import Meter
from soundstage.engines.records.port import KEY_CEILING, Budget, Cell, Page, Row, Span, Stamp
from soundstage.engines.records.tombstones import Fragments, covering, greatest

ROWS_MIN = 16
ROWS_MAX = 20_000
"""Of one request."""

GROWTH = 4
TRIES_MAX = 20

KEYS_MIN = 128

PLAIN_COLUMNS = 3
"""Of a row read from a table that takes no conditions; there are many of them."""


class Statics(NamedTuple):
    """What all rows of a partition share."""

    newest: bytes | None = None
    tombstone: Cell | None = None
    ranges: bool | None = None
    rev: int | None = None


class Found(NamedTuple):
    """What one moment holds: rows with their cells, and what hides some of them."""

    statics: Statics
    rows: Sequence[Any]
    fragments: Fragments


class Reader:
    """Reads tables of both kinds, each as consistent as it is to be, or all of them at one `level`."""

    def __init__(self, requests: Requests, environment: Environment, level: int | None = None) -> None:
        self._requests = requests
        self._level = level
        self._environment = environment

    async def points(
        self, table: Table, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None
    ) -> Page:
        """See `Records.get`."""
        asked = keys if budget is None else keys[: max(KEYS_MIN, _likely(table, budget))]
        if budget is not None and self._requests.is_late(budget.deadline_ns) and keys:
            return Page([], keys[0], None)
        deadline_ns = None if budget is None else budget.deadline_ns
        while True:
            values = (table.number, partition, list(dict.fromkeys(asked)))
            try:
                found = await self._found(table, partition, table.statements.points, values, deadline_ns)
            except DeadlineExceeded:
                return Page([], keys[0], None) if keys else Page([], None, None)
            except TooManyTombstones:
                if budget is None or len(asked) <= 1:
                    raise Overgrown from None
                # A page of fewer keys passes fewer of them.
                asked = asked[: len(asked) // 2]
                continue
            break
        live = dict(live_rows(found, now_us))
        stamp = _stamp(found.statics)
        rows = [(key, live[key]) for key in asked if key in live]
        if budget is not None:
            meter = Meter(Budget(budget.rows, budget.bytes), self._environment)
            for at, row in enumerate(rows):
                if not meter.takes(row):
                    return _with_unused(Page(rows[:at], row[0], stamp), _size(rows[at:]))
        _learn(table, rows)
        return Page(rows, None if len(asked) == len(keys) else keys[len(asked)], stamp)

    async def all_points(
        self, table: Table, partition: bytes, keys: Sequence[bytes], now_us: int, deadline_ns: int | None
    ) -> tuple[list[Row], Stamp | None]:
        """The live rows among `keys`, which are few, in the order of the store, and the record's stamp."""
        values = (table.number, partition, list(dict.fromkeys(keys)))
        try:
            found = await self._found(table, partition, table.statements.points, values, deadline_ns)
        except TooManyTombstones:
            raise Overgrown from None
        return live_rows(found, now_us), _stamp(found.statics)

    async def page(self, table: Table, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        """See `Records.read`."""
        try:
            return await self._read(table, partition, span, budget, now_us)
        except DeadlineExceeded:
            return unread(span)

    async def _read(self, table: Table, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        limit, most, unused = _likely(table, budget), ROWS_MAX, 0
        while not self._requests.is_late(budget.deadline_ns):
            try:
                found = await self._span(table, partition, span, limit, budget.deadline_ns)
            except TooManyTombstones:
                if limit > 1:
                    limit = most = max(1, limit // 64)
                    continue
                return await self._page_of_less(table, partition, span, budget, now_us)
            page = self._page(found, span, budget, now_us)
            if page.resume is not None or len(found.rows) < limit:
                _learn(table, page.rows)
                return _with_unused(page, unused + _size(found.rows[len(page.rows) :]))
            # Who thought that so many would do can ask for others; to read these again costs them a second time.
            if limit >= most or (page.rows and budget.likely_rows is not None):
                return _with_unused(Page(page.rows, _after(found.rows[-1][-2], span), page.stamp), unused)
            unused += _size(found.rows)
            limit = min(limit * GROWTH, most)
        return unread(span)

    async def _page_of_less(self, table: Table, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        """A page of the nearest part of the span that can be read, though that may be empty."""
        low, high = span.start, KEY_CEILING if span.end is None else span.end
        while not self._requests.is_late(budget.deadline_ns):
            middle = between(low, high)
            if middle is None:
                raise Overgrown
            part = Span(middle, span.end, True) if span.reverse else Span(span.start, middle)
            try:
                found = await self._span(table, partition, part, ROWS_MIN, budget.deadline_ns)
            except TooManyTombstones:
                low, high = (middle, high) if span.reverse else (low, middle)
                continue
            page = self._page(found, part, budget, now_us)
            if page.resume is None:
                cut = _after(found.rows[-1][-2], span) if len(found.rows) >= ROWS_MIN else middle
                return Page(page.rows, cut, page.stamp)
            return page
        return unread(span)

    def _page(self, found: Found, span: Span, budget: Budget, now_us: int) -> Page:
        live, stamp = live_rows(found, now_us), _stamp(found.statics)
        if len(live) <= budget.rows and sum(len(key) + len(cell) for key, cell in live) <= budget.bytes:
            return Page(live, None, stamp)
        meter = Meter(Budget(budget.rows, budget.bytes), self._environment)
        rows: list[Row] = []
        for row in live:
            if not meter.takes(row):
                return Page(rows, row[0] + b"\0" if span.reverse else row[0], stamp)
            rows.append(row)
        return Page(rows, None, stamp)

    async def _span(self, table: Table, partition: bytes, span: Span, limit: int, deadline_ns: int | None) -> Found:
        known = table.statements
        if span.end is None:
            statement, bounds = (known.down if span.reverse else known.up), (span.start,)
        else:
            # A span that ends before it begins holds nothing, and Cassandra says so.
            statement, bounds = (known.down_from if span.reverse else known.up_to), (span.start, span.end)
        return await self._found(table, partition, statement, (table.number, partition, *bounds, limit), deadline_ns)

    async def _found(
        self, table: Table, partition: bytes, statement: Any, values: tuple[Any, ...], deadline_ns: int | None
    ) -> Found:
        """What a read found, as of one moment."""
        for _ in range(TRIES_MAX):
            rows = await self._ask(table, statement, values, deadline_ns)
            if rows:
                statics = Statics(*rows[0][:-2])
            else:
                # An older stamp than the rows are of does no harm, a newer one would hide what came between.
                statics = await self._header_of_nothing(table, partition, deadline_ns)
                if statics.newest is not None:
                    rows = await self._ask(table, statement, values, deadline_ns)
                    statics = Statics(*rows[0][:-2]) if rows else statics
            if not table.conditional or not statics.ranges:
                return Found(statics, rows, ())
            known, rev = await self.ranges(table, partition, deadline_ns)
            if rev == statics.rev:
                return Found(statics, rows, deletions.fragments_of(known, statics.tombstone))
        raise Unavailable("the record is written faster than it can be read", hint="repeat the call")

    async def hidden(
        self, table: Table, partition: bytes, start: bytes, limit: int
    ) -> tuple[list[bytes], bytes | None]:
        """Keys whose rows deletes hide, among the next `limit` rows from `start` on, and where to go on."""
        found = await self._span(table, partition, Span(start), limit, None)
        tombstone, fragments = found.statics.tombstone, found.fragments
        keys = [
            row[-2]
            for row in found.rows
            if (over := greatest(tombstone, covering(fragments, row[-2]))) is not None and over > row[-1]
        ]
        return keys, found.rows[-1][-2] + b"\0" if len(found.rows) >= limit else None

    async def _header_of_nothing(self, table: Table, partition: bytes, deadline_ns: int | None) -> Statics:
        """As `header`, where nothing was found that it could matter to.

        Cassandra looks for a row that lives before it tells what rows share. Where too many dead ones come first, the
        page has no stamp, but it says where to go on.
        """
        try:
            return await self.header(table, partition, deadline_ns)
        except TooManyTombstones:
            return Statics()

    async def header(self, table: Table, partition: bytes, deadline_ns: int | None = None) -> Statics:
        """What all rows of a partition share, though it have no rows."""
        values = (table.number, partition)
        rows = await self._ask(table, table.statements.header, values, deadline_ns)
        return Statics(*rows[0]) if rows else Statics()

    async def _ask(self, table: Table, statement: Any, values: tuple[Any, ...], deadline_ns: int | None) -> list[Any]:
        """The rows of a read of one partition, as consistent as the table is to be."""
        if self._level is not None:
            return await self._requests.read(statement, values, deadline_ns, level=self._level)
        levels = self._requests.levels(table.spec)
        if table.serial:
            self._requests.check_decides(table.spec)
            return await self._requests.read_serially(statement, values, deadline_ns, level=levels.serial)
        return await self._requests.read(statement, values, deadline_ns, level=levels.rows)

    async def ranges(
        self, table: Table, partition: bytes, deadline_ns: int | None = None
    ) -> tuple[list[Any], int | None]:
        """The rows of deleted ranges, and the revision they are of."""
        values = (table.number, partition, schema.RANGE)
        try:
            rows = await self._ask(table, table.statements.kind, values, deadline_ns)
        except TooManyTombstones:
            # No part of the record can be read without them.
            raise Overgrown from None
        found = [deletions.parse_row(row[-2], row[-1]) for row in rows]
        return found, rows[0][3] if rows else None


def unread(span: Span) -> Page:
    """A page of nothing, which resumes where `span` begins."""
    return Page([], (KEY_CEILING if span.end is None else span.end) if span.reverse else span.start, None)


def between(low: bytes, high: bytes) -> bytes | None:
    """A short key about half-way from `low` to `high`; None where they are next to each other."""
    width = max(len(low), len(high)) + 1
    first, last = (int.from_bytes(each.ljust(width, b"\0"), "big") for each in (low, high))
    middle = ((first + last) // 2).to_bytes(width, "big")
    shorter = (middle[:size] for size in range(1, width + 1))
    return next((key for key in shorter if low < key < high), None)


def _after(key: bytes, span: Span) -> bytes:
    """Where a read goes on that has seen `key`."""
    return key if span.reverse else key + b"\0"


def live_rows(found: Found, now_us: int) -> list[Row]:
    """The rows of which no delete and no expiry is known."""
    tombstone, fragments = found.statics.tombstone, found.fragments
    if tombstone is None and not fragments:
        is_live = version.is_live
        if found.rows and len(found.rows[0]) == PLAIN_COLUMNS:
            return [(key, cell) for _, key, cell in found.rows if is_live(cell, now_us)]
        return [(row[-2], row[-1]) for row in found.rows if is_live(row[-1], now_us)]
    return [
        (row[-2], row[-1])
        for row in found.rows
        if version.is_live(row[-1], now_us, greatest(tombstone, covering(fragments, row[-2])))
    ]


def _with_unused(page: Page, unused: int) -> Page:
    return Page(page.rows, page.resume, page.stamp, unused=unused) if unused else page


def _size(rows: Sequence[tuple[Any, ...]]) -> int:
    return sum(len(row[-2]) + len(row[-1]) for row in rows)


def _stamp(statics: Statics) -> Stamp | None:
    newest = statics.newest
    return None if newest is None else Stamp(version.time_us(newest), version.token(newest))


def _likely(table: Table, budget: Budget) -> int:
    """How many rows to ask for: one more than fit, so that it is known whether there are others."""
    likely = budget.likely_rows or int(budget.bytes / table.row_bytes)
    return max(2, min(budget.rows, max(ROWS_MIN, likely), ROWS_MAX - 1) + 1)


def _learn(table: Table, rows: Sequence[Row]) -> None:
    if len(rows) > 1:
        mean = sum(len(key) + len(cell) for key, cell in (rows[0], rows[-1])) / 2
        table.row_bytes = max(32.0, table.row_bytes * 0.8 + mean * 0.2)
