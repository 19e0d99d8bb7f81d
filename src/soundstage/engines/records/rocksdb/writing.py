"""Turns a batch of the port into one atomic batch of rows, by the rule of versions.

Everything here runs without waiting: what is read is still true when the rows are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rocksdict import WriteBatch

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.engines.records import tombstones
from soundstage.engines.records.batches import Survey
from soundstage.engines.records.holdings import Holding, batch_of
from soundstage.engines.records.port import Batch, Cell, RangeDelete, Row
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.foresight import bring_back, foresee_end
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.putting import enter_ledger
from soundstage.engines.records.rocksdb.reading import seek
from soundstage.engines.records.rocksdb.rowkeys import HEAD, HEADER, ITEMS, RANGE
from soundstage.engines.records.rocksdb.tables import Table
from soundstage.engines.records.tombstones import Fragments
from soundstage.engines.rocks.database import Family

FEW_ROWS = 32
"""Up to so many rows are deleted one by one: every range delete slows down later reads of the memtable."""

_NONE = Header(b"")


class Writing:
    """The rows of one call, put into `batch`; once they are written, `was_written` is called."""

    __slots__ = ("_due", "_environment", "batch", "header", "prefix", "table")

    def __init__(
        self,
        table: Table,
        prefix: bytes,
        batch: WriteBatch,
        due: Family,
        environment: Environment,
    ) -> None:
        self.table: Table = table
        self.prefix: bytes = prefix
        self.batch: WriteBatch = batch
        self.header: Header | None = None
        self._due = due
        self._environment = environment

    def accept(self, known: Header | None, batch: Batch, survey: Survey) -> None:
        """Everything in `batch` that is not already surpassed is among the rows, and the header is raised."""
        header = _NONE if known is None else known
        if batch.partition is not None:
            header = self._delete_partition(header, batch.partition)
        for deleted in batch.ranges:
            header = self._delete_range(header, deleted)
        if batch.ranges:
            tombstones.check_count(header.ranges, self.table.spec.max_lag_us, self._environment.now_us())
        if batch.ranges or batch.partition is not None:
            self._replace_ranges(() if known is None else known.ranges, header.ranges)
        header = _raised(header, survey)
        if _is_newest(known, batch, survey):
            self._put_newest(batch.cells, survey)
        elif len(batch.cells) == 1:
            self._put_one(batch.cells[0], header)
        elif batch.cells:
            self._put_many(batch, header)
        if header is not known:
            self.batch.put(self.prefix + HEAD + HEADER, headers.encode(header), self.table.handle)
        # Rows may have changed where the header says the same; another one ends the mark of readers.
        self.header = msgspec.structs.replace(header, mark=None) if header is known else header

    def load(self, known: Header | None, holding: Holding) -> None:
        """Everything that `holding` tells of the partition is among the rows."""
        found = batch_of(holding)
        if found is None:
            self.header = _NONE if known is None else known
        else:
            self.accept(known, *found)
        header = self.header or _NONE
        if holding.newest > header.newest:
            header = Header(holding.newest, header.partition, header.ranges, header.low, header.high)
            self.batch.put(self.prefix + HEAD + HEADER, headers.encode(header), self.table.handle)
            self.header = header
        if self.table.spec.conditional:
            for token, stamp_us, digest in holding.ledger:
                self.enter_ledger(token, stamp_us, digest)

    def was_written(self) -> None:
        """The partition's header is that of `accept` from now on."""
        self.table.remember(self.prefix, self.header)

    def enter_ledger(self, token: str, stamp_us: int, digest: bytes) -> None:
        """A repetition of `token` is known until its time is over."""
        enter_ledger(self.batch, self.table, self._due, self.prefix, token, stamp_us, digest)

    def _put_newest(self, rows: Sequence[Row], survey: Survey) -> None:
        items, put, handle = self.prefix + ITEMS, self.batch.put, self.table.handle
        for key, cell in rows:
            put(items + key, cell, handle)
        head = version.lasting_head(survey.least)
        # What lies between two cells that begin alike begins as they do.
        if head is not None and survey.greatest.startswith(head):
            return
        alike = version.lasting_tail(survey.least)
        for key, cell in rows:
            if not cell.startswith(alike, version.KIND_AT):
                foresee_end(self.batch, self.table, self._due, items + key, cell, self._environment)

    def _put_one(self, row: Row, header: Header) -> None:
        key, cell = row
        row_key = self.prefix + ITEMS + key
        self._put(row_key, key, cell, self.table.db.get(row_key), header)

    def _put_many(self, batch: Batch, header: Header) -> None:
        items = self.prefix + ITEMS
        row_keys: list[Any] = [items + key for key, _ in batch.cells]
        found: Any = self.table.db.get(row_keys)
        for row_key, (key, cell), known in zip(row_keys, batch.cells, found, strict=True):
            self._put(row_key, key, cell, known, header)

    def _put(self, row_key: bytes, key: bytes, cell: Cell, known: Cell | None, header: Header) -> None:
        if known is not None and known >= cell:
            return
        if header.covered and (over := header.covering(key)) is not None and over > cell:
            return
        self.batch.put(row_key, cell, self.table.handle)
        foresee_end(self.batch, self.table, self._due, row_key, cell, self._environment)

    def _delete_partition(self, header: Header, cell: Cell) -> Header:
        if header.partition is not None and header.partition >= cell:
            return header
        self._bring_back(self.prefix + HEAD + HEADER, version.time_us(cell))
        low, high = header.low, header.high
        if cell > header.newest:
            # Nothing newer lies there: the rows can go at once, whatever their number.
            self._clear(low, high)
            low, high = _NONE.low, _NONE.high
        return Header(header.newest, cell, tombstones.clip(header.ranges, cell), low, high)

    def _delete_range(self, header: Header, deleted: RangeDelete) -> Header:
        if header.partition is not None and header.partition > deleted.cell:
            return header
        ranges = tombstones.add(header.ranges, deleted)
        low, high = header.low, header.high
        if deleted.cell > header.newest:
            end = high if deleted.end is None else min(deleted.end, high)
            self._clear(max(deleted.start, low), end)
            if deleted.start <= low:
                low = max(low, end)
            if end == high:
                high = min(high, max(deleted.start, low))
        return Header(header.newest, header.partition, ranges, low, high)

    def _clear(self, low: bytes, high: bytes) -> None:
        """No item row from `low` to `high` is left; few go one by one, many as one range."""
        if low >= high:
            return
        items = self.prefix + ITEMS
        rows, bounds = seek(self.table, items + low, items + high, reverse=False)
        few: list[bytes] = []
        try:
            while rows.valid() and len(few) <= FEW_ROWS:
                few.append(rows.key())
                rows.next()
            rows.status()
        finally:
            del rows, bounds
        if len(few) > FEW_ROWS:
            self.batch.delete_range(items + low, items + high, self.table.handle)
            return
        for row_key in few:
            self.batch.delete(row_key, self.table.handle)

    def _replace_ranges(self, old: Fragments, new: Fragments) -> None:
        if old is new:
            return
        before, after = set(old), set(new)
        rows = self.prefix + HEAD + RANGE
        for gone in before - after:
            self.batch.delete(rows + gone.start, self.table.handle)
        for deleted in after - before:
            row = rows + deleted.start
            self.batch.put(row, headers.encode_range(deleted.end, deleted.cell), self.table.handle)
            self._bring_back(row, version.time_us(deleted.cell))

    def _bring_back(self, row: bytes, time_us: int) -> None:
        bring_back(self.batch, self.table, self._due, row, time_us)


def _raised(header: Header, survey: Survey) -> Header:
    """The header of a partition that has accepted the batch, its tombstones aside."""
    newest, low, high = header.newest, header.low, header.high
    # A cell is greater than the identity it begins with, so no greater version is missed.
    if survey.greatest > newest:
        newest = max(newest, version.identity(survey.greatest))
    if survey.keys:
        first, last = (survey.keys[0],) * 2 if len(survey.keys) == 1 else (min(survey.keys), max(survey.keys))
        if first < low:
            low = first
        if last >= high:
            high = last + b"\0"
    if newest is header.newest and low is header.low and high is header.high:
        return header
    return Header(newest, header.partition, header.ranges, low, high)


def _is_newest(known: Header | None, batch: Batch, survey: Survey) -> bool:
    """Whether every item surpasses all that the partition ever accepted: then nothing must be read.

    The greatest cell ever accepted may be any that begins with `newest`.
    """
    if batch.ranges or batch.partition is not None:
        return False
    return known is None or (survey.least > known.newest and not survey.least.startswith(known.newest))
