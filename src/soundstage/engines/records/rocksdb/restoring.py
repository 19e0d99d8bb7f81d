"""Brings tables back from a checkpoint while others are served."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rocksdict import Cache, Rdict, WriteBatch

from soundstage.core import version
from soundstage.core.errors import AlreadyExists, NotFound
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, TableSpec
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.reading import Slices
from soundstage.engines.records.rocksdb.rowkeys import HEADER, LEDGER, NUMBER, RANGE, TIME, due_key, next_number, parse
from soundstage.engines.records.rocksdb.tables import Catalogue, Entry, Table, entries_of, family_name
from soundstage.engines.rocks.database import Database, Handle, open_rdict
from soundstage.engines.rocks.folder import check_format

BATCH_ROWS = 200


async def restore(
    database: Database, catalogue: Catalogue, due: Handle, folder: str, names: Sequence[str] | None
) -> None:
    """The tables are served again once all their rows are copied; none of them is when copying fails."""
    check_format(folder)
    source = open_rdict(folder, database.options, Cache(8 << 20), read_only=True)
    try:
        chosen = _chosen(catalogue, {entry.spec.name: entry for entry in entries_of(source)}, names)
        copied: list[Table] = []
        try:
            for entry in chosen:
                copied.append(catalogue.create(entry.spec, hidden=True))
                await _copy(database, source, entry, copied[-1], due)
        except BaseException:
            for table in copied:
                catalogue.drop(table.spec.name)
            raise
        for entry, table in zip(chosen, copied, strict=True):
            shown = msgspec.structs.replace(table.entry, hidden=False, purge_floor_us=entry.purge_floor_us)
            catalogue.change(table, shown)
    finally:
        source.close()


def _chosen(catalogue: Catalogue, there: dict[str, Entry], names: Sequence[str] | None) -> list[Entry]:
    wanted = sorted(there) if names is None else list(names)
    for name in wanted:
        if name not in there:
            raise NotFound(f"the checkpoint has no table {name!r}", hint=f"it has {', '.join(sorted(there)) or 'none'}")
        if name in catalogue.by_name:
            raise AlreadyExists(f"the table {name!r} exists", hint="delete its namespace first")
    return [there[name] for name in wanted]


async def _copy(database: Database, source: Rdict, entry: Entry, target: Table, due: Handle) -> None:
    number = NUMBER.pack(entry.number)
    family = source.get_column_family(family_name(entry.number)) if entry.spec.dedicated else source
    rows = family.iter()
    rows.seek(number)
    end = next_number(number)
    slices = Slices(database.environment, None)
    while rows.valid() and rows.key() < end:
        batch = WriteBatch(raw_mode=True)
        for _ in range(BATCH_ROWS):
            if not rows.valid() or (raw := rows.key()) >= end:
                break
            _copy_row(target, raw, rows.value(), batch, due)
            rows.next()
        database.write(batch)
        await slices.pause(target)


def _copy_row(target: Table, raw: bytes, stored: bytes, batch: WriteBatch, due: Handle) -> None:
    row_key = target.number + raw[NUMBER.size :]
    batch.put(row_key, stored, target.handle)
    forgotten = _forgotten(target.spec, raw, stored)
    if forgotten is not None:
        time_us, due_us = forgotten
        batch.put(due_key(due_us, row_key), TIME.pack(time_us), due)


def _forgotten(spec: TableSpec, raw: bytes, stored: bytes) -> tuple[int, int] | None:
    """The time of a row's cell and when the sweeper is to look at it; None: it stays."""
    row = parse(raw)
    cell: bytes | None = None
    not_before_us = 0
    if row.is_item:
        expires_us = version.expires_us(stored)
        if version.is_delete(stored) or expires_us:
            cell, not_before_us = stored, expires_us
    elif row.rest.startswith(HEADER):
        cell = headers.decode(stored)[0].partition
    elif row.rest.startswith(RANGE):
        cell = headers.decode_range(stored)[1]
    elif row.rest.startswith(LEDGER):
        cell = stored
    if cell is None:
        return None
    time_us = version.time_us(cell)
    return time_us, max(time_us + spec.max_lag_us + IN_FLIGHT_MAX_US + 1, not_before_us)
