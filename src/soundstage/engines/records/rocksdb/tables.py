"""The catalogue of tables, kept in the database itself under the number 0."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import cast

import msgspec
from rocksdict import Rdict, ReadOptions, WriteBatch

from soundstage.core.errors import AlreadyExists, InvalidArgument
from soundstage.engines.records import refusals
from soundstage.engines.records.port import RangeDelete, TableSpec
from soundstage.engines.records.rocksdb import header
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.known import KnownHeaders
from soundstage.engines.records.rocksdb.rowkeys import AFTER_RANGES, HEAD, HEADER, NUMBER, RANGE, next_number
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database, Family, Handle
from soundstage.engines.rocks.opening import families_of

DUE = "due"

OWN_TABLES = "system/"
"""What the names of the stage's own tables begin with."""

TABLE_FORMAT = 1
"""Of the rows of a table. Older tables are upgraded when they are opened, newer ones refuse the folder."""

_CATALOGUE = NUMBER.pack(0)
_ENTRY = _CATALOGUE + b"table/"
_AFTER_ENTRIES = _CATALOGUE + b"table0"
_NEXT = _CATALOGUE + b"next"
_DEDICATED = re.compile(r"t\d+")


class Entry(msgspec.Struct, frozen=True):
    """A table as the catalogue keeps it. `hidden` ones are being restored and serve nobody.

    `admitted` is the fence under which loads are taken; tables that nobody fills are written without.
    """

    number: int
    spec: TableSpec
    purge_floor_us: int | None = None
    hidden: bool = False
    format: int = TABLE_FORMAT
    admitted: int | msgspec.UnsetType = msgspec.UNSET

    @property
    def fence(self) -> int | None:
        """The fence under which loads are taken; None: without one."""
        return None if isinstance(self.admitted, msgspec.UnsetType) else self.admitted


class Table:
    """A table in use: where its rows are, and what is known of its partitions.

    `due_from` is where the sweeper goes on: nothing that it has to look at comes before. `cleared_to` is how far it
    got with tombstones that hide much. `own` ones are the stage's or said to be so, whose rows are few and small.
    """

    __slots__ = (
        "cleared_to",
        "db",
        "dropped",
        "due_from",
        "entry",
        "handle",
        "headers",
        "known",
        "number",
        "own",
        "spec",
    )

    def __init__(self, entry: Entry, db: Rdict, handle: Handle | None, known: KnownHeaders) -> None:
        self.entry: Entry = entry
        self.spec: TableSpec = entry.spec
        self.own: bool = _is_own(entry.spec)
        self.number: bytes = NUMBER.pack(entry.number)
        self.db: Rdict = db
        self.handle = handle
        self.known: KnownHeaders = known
        self.headers: dict[bytes, Header | None] = known.found
        self.dropped: bool = False
        self.due_from: bytes = self.number
        self.cleared_to: dict[bytes, bytes] = {}

    def header(self, prefix: bytes) -> Header | None:
        """The header of a partition, None for one never written."""
        try:
            return self.headers[prefix]
        except KeyError:
            found = self._load(prefix)
            self.known.remember(prefix, found)
            return found

    def peek(self, prefix: bytes) -> Header | None:
        """The same for those who pass by once, and should not drive out what is used often."""
        return self.headers[prefix] if prefix in self.headers else self._load(prefix)

    def remember(self, prefix: bytes, found: Header | None) -> None:
        """`found` is the header from now on."""
        self.known.remember(prefix, found)

    def let_go(self) -> None:
        """The table serves nobody any more and keeps no column family alive, whoever still holds it."""
        self.dropped = True
        self.handle = None
        self.db = cast("Rdict", None)

    def _load(self, prefix: bytes) -> Header | None:
        stored = self.db.get(prefix + HEAD + HEADER)
        if stored is None:
            return None
        found, has_ranges = header.decode(stored)
        if has_ranges:
            found = msgspec.structs.replace(found, ranges=tuple(self._ranges(prefix)))
        return found

    def _ranges(self, prefix: bytes) -> Iterator[RangeDelete]:
        first = prefix + HEAD + RANGE
        for raw, stored in rows_between(self.db, first, prefix + HEAD + AFTER_RANGES):
            end, cell = header.decode_range(stored)
            yield RangeDelete(raw[len(first) :], end, cell)


class Catalogue:
    """All tables by name.

    What changes it takes the batch that the change is written with, and holds once that is written. `due` is the
    family of what the sweeper has to look at.
    """

    def __init__(self, database: Database, due: Family) -> None:
        self._database = database
        self._due = due
        self._next = 1
        self.known: KnownHeaders = KnownHeaders(database.options.headers)
        self.by_name: dict[str, Table] = {}
        self.by_number: dict[bytes, Table] = {}

    def load(self) -> list[Table]:
        """Know what the folder holds; returns the hidden tables, left by restores that did not end.

        Families of tables that are not in the catalogue are dropped: a creation or a drop was cut off there.
        """
        stored = self._database.rdict.get(_NEXT)
        self._next = 1 if stored is None else NUMBER.unpack(stored)[0]
        entries = entries_of(self._database.rdict)
        kept = {family_name(entry.number) for entry in entries if entry.spec.dedicated}
        for name in self._database.families:
            if _DEDICATED.fullmatch(name) and name not in kept:
                self._database.drop_family(name)
        for entry in entries:
            self._add(self._table(entry))
        return [table for table in self.by_name.values() if table.entry.hidden]

    def let_go(self) -> None:
        """No table is in use; reads under way end when they are next asked."""
        for table in self.by_name.values():
            table.let_go()
        self.by_name.clear()
        self.by_number.clear()
        self.known.clear()

    def create(self, batch: AtomicBatch, spec: TableSpec, hidden: bool = False) -> Table:
        """The table is there with the settings of `spec`; `AlreadyExists` when fixed ones differ.

        A hidden one is being filled: nothing in it is purged.
        """
        known = self.by_name.get(spec.name)
        if known is None:
            return self._create(batch, Entry(self._next, spec, 0 if hidden else None, hidden))
        if hidden or known.entry.hidden:
            raise AlreadyExists(f"the table {spec.name} exists, or is being restored", hint="drop it first")
        refusals.check_fixed_settings(known.spec, spec)
        if known.spec != spec:
            self.change(batch, known, msgspec.structs.replace(known.entry, spec=spec))
        else:
            batch.touch(_row(known.entry)[0])
        return known

    def change(self, batch: AtomicBatch, table: Table, entry: Entry) -> None:
        """The table's entry is `entry`."""
        row = _row(entry)
        batch.touch(row[0])
        batch.rows.put(*row)

        def changed() -> None:
            table.entry, table.spec, table.own = entry, entry.spec, _is_own(entry.spec)

        batch.once_written(changed)

    def forget(self, batch: AtomicBatch, table: Table) -> None:
        """The table is gone; its number is never given to another. `clear_away` is next, once that is durable."""
        number, end, row_key = table.number, next_number(table.number), _row(table.entry)[0]
        batch.touch(row_key)
        batch.rows.delete(row_key)
        if table.handle is None:
            batch.rows.delete_range(number, end)
        batch.rows.delete_range(number, end, self._due.handle)

        def forgotten() -> None:
            self.by_name.pop(table.spec.name, None)
            self.by_number.pop(number, None)
            table.let_go()

        batch.once_written(forgotten)

    def clear_away(self, entry: Entry) -> None:
        """The disk space of a forgotten table comes back, before long."""
        if entry.spec.dedicated:
            self._database.drop_family(family_name(entry.number))
            return
        number = NUMBER.pack(entry.number)
        for family in ("default", DUE):
            self._database.compact(family, number, next_number(number))

    def _create(self, batch: AtomicBatch, entry: Entry) -> Table:
        # The family first: where there are too many, nothing has happened.
        table = self._table(entry)
        row = _row(entry)
        batch.touch(row[0])
        batch.rows.put(_NEXT, NUMBER.pack(entry.number + 1))
        batch.rows.put(*row)

        def created() -> None:
            self._next = entry.number + 1
            self._add(table)

        batch.once_written(created)
        return table

    def _table(self, entry: Entry) -> Table:
        if not entry.spec.dedicated:
            return Table(entry, self._database.rdict, None, self.known)
        family = self._database.family(family_name(entry.number))
        return Table(entry, family.db, family.handle, self.known)

    def _add(self, table: Table) -> None:
        self.by_name[table.spec.name] = self.by_number[table.number] = table


def entries_of(db: Rdict) -> list[Entry]:
    """Every table that a database knows, by name. `InvalidArgument` for one of a newer format."""
    entries: list[Entry] = []
    for _, stored in rows_between(db, _ENTRY, _AFTER_ENTRIES):
        entry = msgspec.msgpack.decode(stored, type=Entry)
        if entry.format > TABLE_FORMAT:
            raise InvalidArgument(
                f"the table {entry.spec.name} has the format {entry.format}; this release knows {TABLE_FORMAT}",
                field="data",
                hint="open it with the release that wrote it, or a newer one",
            )
        entries.append(entry)
    return entries


def reserve_numbers(db: Rdict) -> None:
    """No number that any row or family of the database has is given to a new table."""
    stored = db.get(_NEXT)
    used = [0 if stored is None else NUMBER.unpack(stored)[0] - 1]
    used += [entry.number for entry in entries_of(db)]
    used += [int(name[1:]) for name in families_of(db.path()) if _DEDICATED.fullmatch(name)]
    rows = db.iter()
    rows.seek_to_last()
    if rows.valid():
        used.append(NUMBER.unpack_from(rows.key())[0])
    batch = WriteBatch(raw_mode=True)
    batch.put(_NEXT, NUMBER.pack(max(used) + 1))
    db.write(batch)


def rows_between(db: Rdict, start: bytes, end: bytes) -> Generator[tuple[bytes, bytes], None, None]:
    """Rows in their order from `start` to before `end`. Raises the driver's error for rows that cannot be read."""
    bounds = ReadOptions()
    bounds.set_iterate_upper_bound(end)
    rows = db.iter(bounds)
    try:
        rows.seek(start)
        while rows.valid():
            yield rows.key(), rows.value()
            rows.next()
        rows.status()
    finally:
        del rows, bounds


def family_name(number: int) -> str:
    """The column family of a dedicated table."""
    return f"t{number}"


def _is_own(spec: TableSpec) -> bool:
    return spec.own is True or spec.name.startswith(OWN_TABLES)


def _row(entry: Entry) -> tuple[bytes, bytes]:
    return _ENTRY + entry.spec.name.encode(), msgspec.msgpack.encode(entry)
