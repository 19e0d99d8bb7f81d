"""Processes whose clocks disagree, each with an engine of its own on the same tables."""

from __future__ import annotations

import time

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.cassandra import CassandraRecords, Link
from soundstage.engines.records.port import ALL, Batch, Budget, Condition, Conditional, RangeDelete, Stamp, TableSpec

PLAIN, GUARDED = "clocks/plain", "clocks/guarded"
RECORD = b"record"


class Process:
    """An engine whose clock is so many seconds off the nodes'."""

    def __init__(self, link: Link, space: str, off_s: float) -> None:
        self.environment: VirtualEnvironment = VirtualEnvironment(start_ns=time.time_ns() + round(off_s * 1e9))
        self.engine: CassandraRecords = CassandraRecords(link, self.environment, space)

    async def start(self) -> None:
        await self.engine.start()
        await self.engine.create_table(TableSpec(name=PLAIN))
        await self.engine.create_table(TableSpec(name=GUARDED, conditional=True))

    def now_us(self) -> int:
        self.environment.advance(1e-6)
        return self.environment.now_us()

    async def put(self, table: str, value: bytes, at_us: int | None = None, record: bytes = RECORD) -> int:
        cell = version.put(self.now_us() if at_us is None else at_us, "put", value)
        return await self.engine.apply(table, record, Batch(cells=[(b"key", cell)]))

    async def replace(self, known_us: int, known: str, token: str) -> int:
        """The value is `token`, where it was written with the token `known` at `known_us`."""
        conditions = [Condition(b"key", Stamp(known_us, known))]
        asked = Conditional(conditions=conditions, token=token, digest=b"", limit_us=known_us + 10**9)
        batch = Batch(cells=[(b"key", version.put(self.now_us(), token, token.encode()))])
        return await self.engine.apply(GUARDED, RECORD, batch, conditional=asked)

    async def delete(self, table: str) -> int:
        cell = version.delete(self.now_us(), "delete")
        return await self.engine.apply(table, RECORD, Batch(ranges=[RangeDelete(b"", None, cell)]))

    async def values(self, table: str, record: bytes = RECORD) -> list[bytes]:
        page = await self.engine.read(table, record, ALL, Budget(), self.environment.now_us())
        return [bytes(version.split(cell).value) for _, cell in page.rows]
