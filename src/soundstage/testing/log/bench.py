"""A log on the bench: one topic, one clock, and short words for the calls that tests make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.engines.log.port import Bounds, Entry, Log, LogPage, Position, Spot, Stored, TopicSpec

TOPIC = "suite/events"
PARTITIONS = 3
SWEEPS_MAX = 1_000
PAGES_MAX = 10_000
START_NS = 1_700_000_000_000_000_000


class OpenLog(Protocol):
    """What an engine's test file gives the suite: its fixture `open_log`."""

    async def __call__(self, environment: Environment, store: str = "store") -> Log:
        """A started engine on the storage called `store`: empty the first time, then as the last one left it.

        The engine that was opened on a storage is stopped before the next one is.
        """
        ...


def entry(value: bytes | None = b"", key: bytes | None = None, **more: Any) -> Entry:
    """An entry to append."""
    return Entry(value, key, **more)


class LogBench:
    """The topic `suite/events` with three partitions, on a clock that moves when told to."""

    def __init__(self, open_log: OpenLog, seed: int = 0, start_ns: int = START_NS) -> None:
        self.environment: VirtualEnvironment = VirtualEnvironment(seed, start_ns)
        self.spec: TopicSpec = TopicSpec(name=TOPIC, partitions=PARTITIONS)
        self.log: Log
        self._open_log = open_log

    async def open(self) -> None:
        self.log = await self._open_log(self.environment)
        await self.log.create_topic(self.spec)

    async def reopen(self) -> None:
        """The engine was stopped and another one started on what it left."""
        await self.log.stop()
        self.log = await self._open_log(self.environment)

    async def close(self) -> None:
        await self.log.stop()

    @property
    def now_us(self) -> int:
        return self.environment.now_us()

    def advance_us(self, passed_us: int) -> None:
        self.environment.advance(passed_us / 1e6)

    async def alter(self, **settings: Any) -> None:
        """The topic has other settings."""
        self.spec = msgspec.structs.replace(self.spec, **settings)
        await self.log.create_topic(self.spec)

    async def another(self, name: str, **settings: Any) -> str:
        """One more topic."""
        await self.log.create_topic(TopicSpec(name=name, **settings))
        return name

    async def append(self, *values: bytes, partition: int = 0, topic: str = TOPIC) -> list[int]:
        """Entries without keys in one call; their offsets."""
        spots = await self.log.append(topic, list(map(entry, values)), partition=partition)
        return [spot.offset for spot in spots]

    async def send(self, *entries: Entry, topic: str = TOPIC, **options: Any) -> list[Spot]:
        """One call."""
        return await self.log.append(topic, entries, **options)

    async def page(
        self, offset: int = 0, partition: int = 0, topic: str = TOPIC, entries: int = 1_000, size: int = 1 << 20
    ) -> LogPage:
        return await self.log.read(topic, partition, offset, entries, size)

    async def everything(self, partition: int = 0, topic: str = TOPIC, entries: int = 1_000) -> list[Stored]:
        """All entries of a partition, page by page, from the first offset on."""
        found: list[Stored] = []
        offset = 0
        for _ in range(PAGES_MAX):
            page = await self.page(offset, partition, topic, entries)
            found += page.entries
            if page.next >= page.end:
                return found
            assert page.next > offset, "a page that ends before the end comes on"
            offset = page.next
        raise AssertionError("the pages have no end")

    async def values(self, partition: int = 0, topic: str = TOPIC) -> list[bytes | None]:
        return [each.value for each in await self.everything(partition, topic)]

    async def bounds(self, partition: int = 0, topic: str = TOPIC) -> Bounds:
        return (await self.log.bounds(topic))[partition]

    async def swept(self, budget: int = 100_000) -> int:
        """Nothing more is due at once; how many entries went."""
        removed = 0
        for _ in range(SWEEPS_MAX):
            sweep = await self.log.sweep(budget)
            removed += sweep.removed
            if not sweep.more:
                return removed
        raise AssertionError("there is no end of sweeping")


def at(offset: int, partition: int = 0, topic: str = TOPIC) -> Position:
    return Position(topic, partition, offset)


def offsets(entries: Iterable[Stored]) -> list[int]:
    return [each.offset for each in entries]


def contents(entries: Sequence[Stored]) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values."""
    return [(each.key, each.value) for each in entries]
