"""The catalogue of tables, kept in the database itself under the number 0."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec
from rocksdict import Rdict, WriteBatch

from soundstage.core.errors import AlreadyExists, NotFound
from soundstage.engines.records.port import RangeDelete, TableSpec
from soundstage.engines.records.rocksdb import header
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.rowkeys import HEAD, HEADER, NUMBER, RANGE, next_number
from soundstage.engines.rocks.database import Database, Handle

_CATALOGUE = NUMBER.pack(0)
_ENTRY = _CATALOGUE + b"table/"
_NEXT = _CATALOGUE + b"next"

FIXED = ("conditional", "key_order", "dedicated")


class Entry(msgspec.Struct, frozen=True):
    """A table as the catalogue keeps it. `hidden` ones are being restored and serve nobody."""

    number: int
    spec: TableSpec
    purge_floor_us: int | None = None
    hidden: bool = False


class Table:
    """A table in use: where its rows are, and the headers of the partitions last used."""

    __slots__ = ("_headers_max", "db", "dropped", "entry", "handle", "headers", "number", "spec")

    def __init__(self, entry: Entry, db: Rdict, handle: Handle | None, headers_max: int) -> None:
        self.entry = entry
        self.spec = entry.spec
        self.number = NUMBER.pack(entry.number)
        self.db = db
        self.handle = handle
        self.dropped = False
        self.headers: dict[bytes, Header | None] = {}
        self._headers_max = headers_max

    def header(self, prefix: bytes) -> Header | None:
        """The header of a partition, None for one never written."""
        try:
            return self.headers[prefix]
        except KeyError:
            return self._load(prefix)

    def remember(self, prefix: bytes, found: Header | None) -> None:
        """`found` is the header from now on; the process being the only writer, it stays true."""
        headers = self.headers
        if len(headers) >= self._headers_max and prefix not in headers:
            # Many at once: a dictionary looks for its first entry past all that were deleted before it.
            for oldest in list(islice(headers, 1 + self._headers_max // 8)):
                del headers[oldest]
        headers[prefix] = found

    def _load(self, prefix: bytes) -> Header | None:
        stored = self.db.get(prefix + HEAD + HEADER)
        found = None
        if stored is not None:
            found, has_ranges = header.decode(stored)
            if has_ranges:
                found = msgspec.structs.replace(found, ranges=tuple(self._ranges(prefix)))
        self.remember(prefix, found)
        return found

    def _ranges(self, prefix: bytes) -> Iterator[RangeDelete]:
        first = prefix + HEAD + RANGE
        rows = self.db.iter()
        rows.seek(first)
        while rows.valid() and (raw := rows.key()).startswith(first):
            end, cell = header.decode_range(rows.value())
            yield RangeDelete(raw[len(first) :], end, cell)
            rows.next()


class Catalogue:
    """All tables by name. Changes are written at once and durable with the next flush."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.by_name: dict[str, Table] = {}
        self.by_number: dict[bytes, Table] = {}

    def load(self) -> None:
        """Know what the folder holds; tables left hidden by a restore that did not end are dropped."""
        for entry in entries_of(self._database.rdict):
            self._open(entry)
            if entry.hidden:
                self.drop(entry.spec.name)

    def close(self) -> None:
        """No table is in use; reads under way end at their next page."""
        for table in self.by_name.values():
            table.dropped = True
        self.by_name.clear()
        self.by_number.clear()

    def get(self, name: str) -> Table:
        """The table; raises `NotFound`."""
        found = self.by_name.get(name)
        if found is None or found.entry.hidden:
            raise NotFound(f"there is no table {name!r}", hint="create the namespace it belongs to")
        return found

    def create(self, spec: TableSpec, *, hidden: bool = False) -> Table:
        """The table is there with the settings of `spec`; `AlreadyExists` when fixed ones differ."""
        known = self.by_name.get(spec.name)
        if known is None:
            entry = Entry(self._take_number(), spec, hidden=hidden)
            self._write(entry)
            return self._open(entry)
        for field in FIXED:
            if getattr(known.spec, field) != getattr(spec, field):
                raise AlreadyExists(f"the table {spec.name} exists with another {field}", field=field)
        if known.spec != spec:
            self.change(known, msgspec.structs.replace(known.entry, spec=spec))
        return known

    def change(self, table: Table, entry: Entry) -> None:
        """The table's entry is `entry` from now on."""
        self._write(entry)
        table.entry, table.spec = entry, entry.spec

    def drop(self, name: str) -> None:
        """The table is gone; its number is never given to another."""
        table = self.by_name.pop(name, None)
        if table is None:
            return
        table.dropped = True
        del self.by_number[table.number]
        batch = WriteBatch(raw_mode=True)
        batch.delete(_ENTRY + name.encode())
        if table.handle is None:
            batch.delete_range(table.number, next_number(table.number))
        self._database.write(batch)
        if table.handle is not None:
            self._database.drop_family(family_name(table.entry.number))

    def _open(self, entry: Entry) -> Table:
        database = self._database
        db, handle = database.rdict, None
        if entry.spec.dedicated:
            db, handle = database.family(family_name(entry.number))
        table = Table(entry, db, handle, database.options.headers)
        self.by_name[entry.spec.name] = self.by_number[table.number] = table
        return table

    def _take_number(self) -> int:
        stored = self._database.rdict.get(_NEXT)
        number = 1 if stored is None else NUMBER.unpack(stored)[0]
        batch = WriteBatch(raw_mode=True)
        batch.put(_NEXT, NUMBER.pack(number + 1))
        self._database.write(batch)
        return number

    def _write(self, entry: Entry) -> None:
        batch = WriteBatch(raw_mode=True)
        batch.put(_ENTRY + entry.spec.name.encode(), msgspec.msgpack.encode(entry))
        self._database.write(batch)


def entries_of(db: Rdict) -> list[Entry]:
    """Every table that a database knows, by name."""
    entries: list[Entry] = []
    rows = db.iter()
    rows.seek(_ENTRY)
    while rows.valid() and rows.key().startswith(_ENTRY):
        entries.append(msgspec.msgpack.decode(rows.value(), type=Entry))
        rows.next()
    return entries


def family_name(number: int) -> str:
    """The column family of a dedicated table."""
    return f"t{number}"
