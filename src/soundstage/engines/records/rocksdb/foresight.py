"""Which rows will be forgotten some day, told from the rows themselves: for copies, which bring no plan along."""

from __future__ import annotations

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, TableSpec
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.rowkeys import HEADER, LEDGER, RANGE, TIME, due_key, parse


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
