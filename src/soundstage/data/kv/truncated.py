"""The records of a namespace that was truncated, as everybody is shown them.

A truncation is a delete of every record at once: one version, by which what the namespace has of that version, or of
one before it, is gone. What is of a later version stays, whenever it came. So nothing has to be moved or counted, and
a write of before it that arrives late stays as invisible as it is elsewhere. Until `erasing` has removed what is gone
it is kept out of every answer here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from xxhash import xxh3_128_hexdigest

from soundstage.core import version
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import (
    ALL,
    Batch,
    Budget,
    Cell,
    Conditional,
    Page,
    Records,
    Row,
    Span,
    Stamp,
    WalkPage,
)

SUFFIX = "/truncated"
"""Ends the tokens of what is erased: a caller's own token, used for a condition too, would be refused as `reused`."""

_ONE = Budget(rows=1, bytes=1)


class TruncatedRecords(PassingRecords):
    """`records`, of whose `table` nothing of the version `at`, or of one before it, is shown. Other tables are as ever.

    Conditions hold of what is shown: what they are about is erased from the record before it is looked at.
    """

    def __init__(self, records: Records, table: str, at: Stamp, writing: Records | None = None) -> None:
        super().__init__(records)
        self._writing = records if writing is None else writing
        self._table = table
        self._at = at
        self._eraser = eraser(at)

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        """See `Records.apply`."""
        if conditional is not None and table == self._table:
            page = await self._records.read(table, partition, ALL, _ONE, 0)
            if page.stamp is not None:
                erased = Batch(partition=self._eraser)
                await self._records.apply(table, partition, erased, deadline_ns=deadline_ns)
        return await self._writing.apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        """See `Records.get`."""
        page = await self._records.get(table, partition, keys, now_us, budget)
        return self._shown(page) if table == self._table else page

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        """See `Records.read`."""
        page = await self._records.read(table, partition, span, budget, now_us)
        return self._shown(page) if table == self._table else page

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        """See `Records.read_many`."""
        pages = await self._records.read_many(table, partitions, span, budget, now_us)
        return [self._shown(page) for page in pages] if table == self._table else pages

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        """See `Records.walk`."""
        page = await self._records.walk(table, segment, segments, position, budget, now_us)
        if table != self._table:
            return page
        found = [(partition, self._left(rows)) for partition, rows in page.partitions]
        return WalkPage([each for each in found if each[1]], page.position, page.cut)

    def _shown(self, page: Page) -> Page:
        stamp = page.stamp
        if stamp is None:
            return page
        if stamp <= self._at:
            # Nothing that follows can be of a later version either.
            return Page([], None, self._at, page.mark)
        return msgspec.structs.replace(page, rows=self._left(page.rows))

    def _left(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if row[1] > self._eraser]


def eraser(at: Stamp) -> Cell:
    """The tombstone that removes from a record what a truncation at that version hides."""
    return version.delete(at.time_us, at.token)


def stamp_of(time_us: int, token: str) -> Stamp:
    """The version of a truncation under that token of a caller's."""
    return Stamp(time_us, xxh3_128_hexdigest(token.encode()) + SUFFIX)
