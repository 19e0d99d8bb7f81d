"""An engine on the bench of the suite, with its insides at hand."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.engines.rocks.threads import FaultyDisk

from soundstage.core.environment import Environment
from soundstage.engines.records.port import DEFAULT_BUDGET, Budget, Records, TableSpec, WalkPage
from soundstage.engines.records.rocksdb import RocksOptions
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.engines.records.rocksdb.rowkeys import prefix_of
from soundstage.engines.records.rocksdb.tables import Catalogue, Table, rows_between
from soundstage.engines.rocks.database import Database
from soundstage.engines.rocks.opening import flush_tables
from soundstage.testing.records.bench import RECORD, SPEC, Bench


class Store(Bench):
    """`folder` holds what the engine keeps; `disk` is under its database."""

    def __init__(self, folder: str, options: RocksOptions | None = None, *, conditional: bool = False) -> None:
        super().__init__(self._open, conditional=conditional)
        self.folder = folder
        self.options = options or RocksOptions()
        self.disk = FaultyDisk()
        self.rocks: RocksRecords

    async def _open(self, environment: Environment, store: str = "store") -> Records:
        self.rocks = self.unstarted()
        await self.rocks.start()
        return self.rocks

    def unstarted(self, folder: str | None = None) -> RocksRecords:
        """Another engine on the same clock, in the same folder or another."""
        database = Database(folder or self.folder, self.options, self.environment, disk=self.disk)
        return RocksRecords(database, self.environment)

    @property
    def database(self) -> Database:
        return self.rocks.database

    @property
    def catalogue(self) -> Catalogue:
        found = self.rocks._catalogue
        assert found is not None
        return found

    @property
    def table(self) -> Table:
        return self.catalogue.by_name[self.spec.name]

    def prefix(self, record: bytes = RECORD) -> bytes:
        """What the row keys of a record begin with."""
        return prefix_of(self.table.number, record)

    def stored(self, start: bytes = b"\0\0\0\1") -> dict[bytes, bytes]:
        """All rows of tables, as they are kept."""
        return dict(rows_between(self.database.rdict, start, b"\xff"))

    def due(self) -> dict[bytes, bytes]:
        """Everything planned for the sweeper."""
        return dict(rows_between(self.database.family("due").db, b"", b"\xff"))

    def flush(self) -> None:
        """Everything is in table files."""
        flush_tables(self.database.rdict)

    async def walk(self, budget: Budget = DEFAULT_BUDGET, position: bytes | None = None) -> WalkPage:
        return await self.rocks.walk(self.spec.name, 0, 1, position, budget, self.environment.now_us())

    async def add_table(self, name: str, **settings: Any) -> TableSpec:
        """Another table is there."""
        spec = msgspec.structs.replace(SPEC, name=name, **settings)
        await self.rocks.create_table(spec)
        return spec
