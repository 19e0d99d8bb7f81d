"""An embedded log on a disk that does what a test says."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from tests.engines.rocks.threads import FaultyDisk, HeldExecutor

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.size import Size
from soundstage.engines.log.port import Entry, TopicSpec
from soundstage.engines.log.rocksdb import RocksLog, RocksOptions
from soundstage.engines.rocks.database import Database, one_thread

TOPIC = "test/events"
SMALL = Size(8 << 20)


class Store:
    """A log in `folder` with one topic; flushes wait in `held` when it is `slow`."""

    def __init__(self, folder: str, *, slow: bool = False) -> None:
        self.environment: VirtualEnvironment = VirtualEnvironment(seed=3)
        self.disk: FaultyDisk = FaultyDisk()
        self.held: HeldExecutor = HeldExecutor()
        executor: Callable[[str], Executor] = (lambda _name: self.held) if slow else one_thread
        options = RocksOptions(cache=SMALL, low_water=Size(1 << 20), write_buffer=Size(1 << 20))
        self.database: Database = Database(folder, options, self.environment, disk=self.disk, executor=executor)
        self.log: RocksLog = RocksLog(self.database, self.environment)

    async def open(self, spec: TopicSpec | None = None) -> Store:
        await self.log.start()
        await self.log.create_topic(spec or TopicSpec(name=TOPIC, partitions=2))
        return self

    async def append(self, *values: bytes, partition: int = 0) -> list[int]:
        spots = await self.log.append(TOPIC, [Entry(value) for value in values], partition=partition)
        return [spot.offset for spot in spots]

    async def values(self, partition: int = 0, offset: int = 0) -> list[bytes | None]:
        return [each.value for each in (await self.log.read(TOPIC, partition, offset, 100_000, 8 << 20)).entries]
