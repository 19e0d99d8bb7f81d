"""Which rows will be forgotten some day, and when the sweeper is to look at them.

Writes plan that as they go. Copies bring no plan along: `due_entry` tells it from the rows themselves.
"""

from __future__ import annotations

from rocksdict import WriteBatch

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, TableSpec
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.rowkeys import HEADER, LEDGER, RANGE, TIME, due_key, parse
from soundstage.engines.records.rocksdb.tables import Table
from soundstage.engines.rocks.database import Family


def bring_back(
    rows: WriteBatch, table: Table, due: Family, row_key: bytes, time_us: int, not_before_us: int = 0
) -> None:
    """The sweeper looks at the row when a write of `time_us` can be forgotten."""
    due_us = max(time_us + table.spec.max_lag_us + IN_FLIGHT_MAX_US + 1, not_before_us)
    entry = due_key(due_us, row_key)
    # A write from long ago may be due before what the sweeper has passed.
    table.due_from = min(table.due_from, entry)
    rows.put(entry, TIME.pack(time_us), due.handle)


def foresee_end(
    rows: WriteBatch, table: Table, due: Family, row_key: bytes, cell: bytes, environment: Environment
) -> None:
    """A marker, or a put that expires, comes before the sweeper when it may be forgotten."""
    if version.is_delete(cell):
        spec = table.spec
        jitter_us = environment.random.randint(spec.delete_ttl_min_us, spec.delete_ttl_max_us)
        bring_back(rows, table, due, row_key, version.time_us(cell), environment.now_us() + jitter_us)
    elif expires_us := version.expires_us(cell):
        bring_back(rows, table, due, row_key, version.time_us(cell), expires_us)


def due_entry(row_key: bytes, stored: bytes, spec: TableSpec, environment: Environment) -> tuple[bytes, bytes] | None:
    """The row of the family `due` that brings a row before the sweeper; None for one that stays.

    Markers get the time that they would have if they had just been written.
    """
    cell = _forgettable(row_key, stored)
    if cell is None:
        return None
    row = parse(row_key)
    not_before_us = 0
    if row.is_item:
        not_before_us = version.expires_us(stored)
        if version.is_delete(stored):
            jitter_us = environment.random.randint(spec.delete_ttl_min_us, spec.delete_ttl_max_us)
            not_before_us = environment.now_us() + jitter_us
    time_us = version.time_us(cell)
    due_us = max(time_us + spec.max_lag_us + IN_FLIGHT_MAX_US + 1, not_before_us)
    return due_key(due_us, row_key), TIME.pack(time_us)


def _forgettable(row_key: bytes, stored: bytes) -> bytes | None:
    """The tombstone, marker, expiring put or ledger entry that a row is, if it is one; it begins with its time."""
    row = parse(row_key)
    if row.is_item:
        return stored if version.is_delete(stored) or version.expires_us(stored) else None
    if row.rest.startswith(HEADER):
        return headers.decode(stored)[0].partition
    if row.rest.startswith(RANGE):
        return headers.decode_range(stored)[1]
    return stored if row.rest.startswith(LEDGER) else None
