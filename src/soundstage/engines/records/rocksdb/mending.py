"""Puts records right of which a part was lost: what the header does not cover would be there and never be read."""

from __future__ import annotations

from itertools import groupby

from rocksdict import Cache, Rdict, WriteBatch

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.engines.records import tombstones
from soundstage.engines.records.port import KEY_CEILING, RangeDelete
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.foresight import due_entry
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.rowkeys import HEAD, HEADER, LEDGER, NUMBER, RANGE, next_number, parse
from soundstage.engines.records.rocksdb.tables import DUE, Entry, entries_of, family_name, reserve_numbers, rows_between
from soundstage.engines.rocks.database import Handle
from soundstage.engines.rocks.opening import families_of
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import family_options

BATCH_BYTES = 1 << 20


def mend(db: Rdict, environment: Environment) -> int:
    """Headers cover all rows of their partition again, and what is to be forgotten some day is planned.

    One pass over all rows of the tables that the catalogue still knows. Others are not found again; their numbers
    are not given to new ones. Returns how many partitions had to be put right. May be repeated.
    """
    families = families_of(db.path())
    if DUE not in families:
        # A family without table files is lost with the list of files.
        db.create_column_family(DUE, family_options(RocksOptions(), Cache(1 << 20)))
    due = db.get_column_family_handle(DUE)
    mended = 0
    for entry in entries_of(db):
        name = family_name(entry.number)
        if not entry.spec.dedicated:
            mended += _mend_table(db, db, None, due, entry, environment)
        elif name in families:
            family, handle = db.get_column_family(name), db.get_column_family_handle(name)
            mended += _mend_table(db, family, handle, due, entry, environment)
    reserve_numbers(db)
    return mended


def _mend_table(
    db: Rdict, rows: Rdict, handle: Handle | None, due: Handle, entry: Entry, environment: Environment
) -> int:
    number = NUMBER.pack(entry.number)
    stored_rows = rows_between(rows, number, next_number(number))
    mended, batch = 0, WriteBatch(raw_mode=True)
    for prefix, partition in groupby(stored_rows, key=lambda row: parse(row[0]).prefix):
        remains = _Remains(prefix)
        for row_key, stored in partition:
            remains.take(row_key, stored)
            planned = due_entry(row_key, stored, entry.spec, environment)
            if planned is not None:
                batch.put(*planned, due)
        mended += remains.put_right(batch, handle)
        if batch.size_in_bytes() >= BATCH_BYTES:
            db.write(batch)
            batch = WriteBatch(raw_mode=True)
    db.write(batch)
    return mended


class _Remains:
    """What is left of a partition, and what its head rows must be."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._stored: bytes | None = None
        self._known = Header(b"")
        self._newest = b""
        self._ranges: list[RangeDelete] = []
        self._low, self._high = KEY_CEILING, b""

    def take(self, row_key: bytes, stored: bytes) -> None:
        row = parse(row_key)
        if row.is_item:
            self._newest = max(self._newest, version.identity(stored))
            self._low, self._high = min(self._low, row.rest), max(self._high, row.rest + b"\0")
        elif row.rest.startswith(HEADER):
            self._stored = stored
            self._known = headers.decode(stored)[0]
        elif row.rest.startswith(RANGE):
            end, cell = headers.decode_range(stored)
            self._newest = max(self._newest, version.identity(cell))
            self._ranges.append(RangeDelete(row.rest[len(RANGE) :], end, cell))
        elif row.rest.startswith(LEDGER):
            token = row.rest[len(LEDGER) :].decode()
            self._newest = max(self._newest, version.identity(version.put(version.time_us(stored), token, b"")))

    def put_right(self, batch: WriteBatch, handle: Handle | None) -> bool:
        """Whether anything had to be; what the header said already stays."""
        known = self._known
        ranges: tombstones.Fragments = ()
        for each in self._ranges:
            ranges = tombstones.add(ranges, each)
        header = Header(
            max(known.newest, self._newest),
            known.partition,
            ranges,
            min(known.low, self._low),
            max(known.high, self._high),
        )
        wanted = headers.encode(header)
        head = self._prefix + HEAD
        if wanted == self._stored and ranges == tuple(self._ranges):
            return False
        # A range that was replaced may have come back beside the one that replaced it.
        for start, _, _ in self._ranges:
            batch.delete(head + RANGE + start, handle)
        for start, end, cell in ranges:
            batch.put(head + RANGE + start, headers.encode_range(end, cell), handle)
        batch.put(head + HEADER, wanted, handle)
        return True
