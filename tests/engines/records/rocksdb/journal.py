"""A second port, and a program that writes through two of them until it is killed."""

from __future__ import annotations

import asyncio
import sys
from struct import Struct

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.records.port import Batch, Budget, Span, TableSpec
from soundstage.engines.records.rocksdb import RocksOptions, RocksRecords, open_rocksdb
from soundstage.engines.records.rocksdb.tables import rows_between
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import Database, Family

POSITION = Struct(">Q")
GATE = b"journal"

TABLE = TableSpec(name="kv/orders")
RECORD = b"orders"


class Journal:
    """One sequence of entries in a column family of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.next = 0
        self.family: Family | None = None

    def open(self) -> None:
        self.database.open(self)
        self.family = self.database.family("journal")
        self.next = len(self.entries())

    async def close(self) -> None:
        await self.database.close(self)

    def let_go(self) -> None:
        self.family = None

    def append(self, batch: AtomicBatch, entry: bytes) -> int:
        """For `Database.atomically`; returns the position."""
        assert self.family is not None
        batch.touch(GATE)
        batch.rows.put(POSITION.pack(self.next), entry, self.family.handle)
        batch.once_written(self._appended)
        return self.next

    def _appended(self) -> None:
        self.next += 1

    def entries(self) -> list[bytes]:
        assert self.family is not None
        return [entry for _, entry in rows_between(self.family.db, b"", b"\xff")]

    async def consume(self) -> list[bytes]:
        """The entries, once they are durable."""
        found, gate = self.entries(), self.database.commits.gate(GATE)
        if gate is not None:
            await gate
        return found


async def opened(folder: str) -> tuple[RocksRecords, Journal]:
    records = open_rocksdb(folder, RocksOptions(), SystemEnvironment())
    await records.start()
    await records.create_table(TABLE)
    journal = Journal(records.database)
    journal.open()
    return records, journal


async def count_orders(folder: str) -> tuple[int, int]:
    """How many rows, and how many entries, the folder has."""
    records, journal = await opened(folder)
    page = await records.read_many(TABLE.name, [RECORD], Span(), Budget(rows=10**6, bytes=1 << 30), 0)
    counts = len(page[0].rows), len(journal.entries())
    await journal.close()
    await records.stop()
    return counts


async def order(folder: str) -> None:
    """Four writers append orders, and print how many there are once they are durable."""
    records, journal = await opened(folder)

    def build(batch: AtomicBatch) -> int:
        number = journal.next
        cell = version.put(number + 1, "token", b"order")
        records.enlist(batch, TABLE.name, RECORD, Batch(cells=[(b"%08d" % number, cell)]))
        return journal.append(batch, b"order")

    async def write() -> None:
        while True:
            print(await records.database.atomically(build) + 1, flush=True)

    await asyncio.gather(*(write() for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(order(sys.argv[1]))
