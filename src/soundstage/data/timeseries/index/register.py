"""Which indexes there may be, of all namespaces, so that none is left when its namespace is gone.

Data on disk: table `system/timeseries` of the stage, partition `indexes`, a row for each topic, which is written before
anything is made. Each process that keeps the index writes it anew, so that one that was slow removes no row of another.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from soundstage.core.errors import PreconditionFailed
from soundstage.engines.records.port import Stamp
from soundstage.runtime.system_table import SystemTable

TABLE = "timeseries"
PARTITION = "indexes"


class Registered(msgspec.Struct, frozen=True, array_like=True):
    """One index and its feed. `log` and `engine` are names of the stage file."""

    namespace: str
    topic: str
    digest: str
    log: str
    engine: str


class Found(NamedTuple):
    """A row, and the write it is from."""

    registered: Registered
    stamp: Stamp


class Register:
    """The rows of all indexes."""

    def __init__(self, table: SystemTable) -> None:
        self._table = table

    async def create(self) -> None:
        """The table exists. Idempotent."""
        await self._table.create()

    async def note(self, registered: Registered) -> None:
        """It is known that there may be this index. To repeat it is safe."""
        entry = await self._table.get(PARTITION, registered.topic)
        rows: dict[str, bytes | None] = {registered.topic: msgspec.msgpack.encode(registered)}
        stamp = None if entry is None else entry.stamp
        await self._table.write(PARTITION, rows, {registered.topic: stamp}, onward=True)

    async def all(self) -> list[Found]:
        """Every index that there may be."""
        entries = await self._table.read(PARTITION, "")
        return [Found(msgspec.msgpack.decode(each.value, type=Registered), each.stamp) for each in entries.values()]

    async def forget(self, found: Found) -> None:
        """The index is gone, unless somebody has noted it since."""
        topic = found.registered.topic
        try:
            await self._table.write(PARTITION, {topic: None}, {topic: found.stamp}, onward=True)
        except PreconditionFailed:
            return
