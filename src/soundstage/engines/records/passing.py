"""What stands before a records engine and changes some of its calls: it passes on the others."""

from __future__ import annotations

from collections.abc import Sequence

from soundstage.engines.records.port import (
    Batch,
    Budget,
    Capability,
    Conditional,
    Page,
    Records,
    Span,
    Sweep,
    TableSpec,
    WalkPage,
)


class PassingRecords:
    """`records`, with every call of the port passed on; extend it with those that differ.

    What else an engine can is not passed on: ask the engine itself for it.
    """

    def __init__(self, records: Records) -> None:
        self.capabilities: frozenset[Capability] = records.capabilities
        self._records = records

    async def start(self) -> None:
        await self._records.start()

    async def stop(self) -> None:
        await self._records.stop()

    async def create_table(self, spec: TableSpec) -> None:
        await self._records.create_table(spec)

    async def drop_table(self, name: str) -> None:
        await self._records.drop_table(name)

    async def tables(self) -> list[TableSpec]:
        return await self._records.tables()

    async def set_purge_floor(self, name: str, floor_us: int | None) -> None:
        await self._records.set_purge_floor(name, floor_us)

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        """See `Records.apply`."""
        return await self._records.apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        """See `Records.get`."""
        return await self._records.get(table, partition, keys, now_us, budget)

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        """See `Records.read`."""
        return await self._records.read(table, partition, span, budget, now_us)

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        """See `Records.read_many`."""
        return await self._records.read_many(table, partitions, span, budget, now_us)

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        """See `Records.walk`."""
        return await self._records.walk(table, segment, segments, position, budget, now_us)

    async def sweep(self, budget_rows: int) -> Sweep:
        """See `Records.sweep`."""
        return await self._records.sweep(budget_rows)
