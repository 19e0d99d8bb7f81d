"""Brings tables back from a checkpoint while others are served."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec
from rocksdict import Rdict

from soundstage.core.environment import Environment
from soundstage.core.errors import AlreadyExists, NotFound, SoundstageError, Unavailable
from soundstage.engines.records.rocksdb.foresight import due_entry
from soundstage.engines.records.rocksdb.reading import Slices
from soundstage.engines.records.rocksdb.rowkeys import NUMBER, next_number
from soundstage.engines.records.rocksdb.tables import Catalogue, Entry, Table, entries_of, family_name, rows_between
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.copying import backup, part_of
from soundstage.engines.rocks.database import Database, Family


async def restore(
    database: Database, catalogue: Catalogue, due: Family, folder: str, names: Sequence[str] | None
) -> None:
    """The tables are served once all their rows are copied; none of them is when copying fails.

    Raises `NotFound` for a folder or table that is not there and `AlreadyExists` for a table that is here.
    """
    with backup(folder, database.options) as (source, _):
        entries = {entry.spec.name: entry for entry in entries_of(source)}
        await _restore(database, catalogue, due, source, _chosen(catalogue, entries, names))


async def _restore(
    database: Database, catalogue: Catalogue, due: Family, source: Rdict, chosen: Sequence[Entry]
) -> None:
    copied: list[tuple[Table, Entry]] = []
    try:
        for entry in chosen:
            table = await database.atomically(catalogue.create, entry.spec, True)
            copied.append((table, entry))
            await _copy(database, source, entry, table, due)
        await database.atomically(_show, catalogue, copied)
    except BaseException:
        for table, _ in copied:
            await _give_up(database, catalogue, table)
        raise


def _chosen(catalogue: Catalogue, there: dict[str, Entry], names: Sequence[str] | None) -> list[Entry]:
    there = {name: entry for name, entry in there.items() if not entry.hidden}
    wanted = sorted(there) if names is None else list(dict.fromkeys(names))
    for name in wanted:
        if name not in there:
            raise NotFound(f"the backup has no table {name!r}", hint=f"it has {', '.join(sorted(there)) or 'none'}")
        if name in catalogue.by_name:
            raise AlreadyExists(f"the table {name!r} exists", hint="delete its namespace first")
    return [there[name] for name in wanted]


def _show(batch: AtomicBatch, catalogue: Catalogue, copied: Sequence[tuple[Table, Entry]]) -> None:
    for table, entry in copied:
        shown = msgspec.structs.replace(
            table.entry, hidden=False, purge_floor_us=entry.purge_floor_us, admitted=entry.admitted
        )
        catalogue.change(batch, table, shown)


async def _give_up(database: Database, catalogue: Catalogue, table: Table) -> None:
    """What could not be dropped now is dropped when the folder is next opened."""
    with suppress(SoundstageError):
        if not table.dropped:
            await database.atomically(catalogue.forget, table)
            catalogue.clear_away(table.entry)


async def _copy(database: Database, source: Rdict, entry: Entry, target: Table, due: Family) -> None:
    number = NUMBER.pack(entry.number)
    family = source.get_column_family(family_name(entry.number)) if entry.spec.dedicated else source
    rows = rows_between(family, number, next_number(number))
    slices = Slices(database)
    try:
        while part := part_of(rows):
            database.low_water.check(sum(len(stored) for _, stored in part))
            await database.atomically(_put, target, part, due, database.environment)
            await slices.pause(target)
    finally:
        # An error keeps this frame, and an iterator in it the checkpoint's files.
        del rows, family


def _put(
    batch: AtomicBatch, target: Table, part: Sequence[tuple[bytes, bytes]], due: Family, environment: Environment
) -> None:
    if target.dropped:
        raise Unavailable("the table was dropped while it was restored", retryable=False, outcome="not_applied")
    for raw, stored in part:
        row_key = target.number + raw[NUMBER.size :]
        batch.rows.put(row_key, stored, target.handle)
        entry = due_entry(row_key, stored, target.spec, environment)
        if entry is not None:
            batch.rows.put(*entry, due.handle)
