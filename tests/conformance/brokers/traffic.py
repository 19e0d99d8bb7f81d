"""Producers that go on whatever becomes of the brokers, and what they found wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from soundstage.core.errors import NotFound, SoundstageError, Unavailable
from soundstage.engines.log.kafka import KafkaLog
from soundstage.engines.log.port import Entry, Spot

TOPIC = "brokers/events"
PARTITIONS = 3
PRODUCERS = 8

PATIENCE_S = 2
"""Of the engine: more than one attempt, so that what is sent again may be younger than what is given up."""

TURNED_DOWN = (Unavailable, NotFound)
"""A broker that has just come back may not know a topic for a moment."""

PACE_S = 0.01
"""Between two calls of one producer, so that brokers that start have the processor too."""

WAIT_S = 240.0
"""For what takes some seconds, or much longer on a machine that is busy."""


class Traffic:
    """Each producer appends the values 0, 1, 2 … of its own to one partition, one call after another.

    They begin one after another, so that not all calls are over at once.
    """

    def __init__(self, log: KafkaLog, partitions: range = range(PARTITIONS)) -> None:
        self.acknowledged: dict[bytes, Spot] = {}
        self.refused: list[SoundstageError] = []
        self._log = log
        self._partitions = partitions
        self._stopping = False
        self._progress = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Traffic:
        self._tasks = [asyncio.ensure_future(self._produce(number)) for number in range(PRODUCERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """So many more appends were acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(WAIT_S):
            while len(self.acknowledged) < wanted:
                await self._next()

    async def no_more(self, count: int) -> None:
        """So many more were refused."""
        wanted = len(self.refused) + count
        async with asyncio.timeout(WAIT_S):
            while len(self.refused) < wanted:
                await self._next()

    async def wrong(self) -> list[str]:
        """What is not as it has to be, when all has ended."""
        found: list[str] = []
        for partition in self._partitions:
            await self._decided(partition)
            kept = await self._all(partition)
            found += [
                f"{value!r} is there {times} times" for value, times in Counter(kept.values()).items() if times > 1
            ]
            found += [
                f"{value!r} is not at {at}"
                for value, at in self.acknowledged.items()
                if at.partition == partition and kept.get(at.offset) != value
            ]
            found += [
                f"{producer!r} is out of order: {each}" for producer, each in of_each(kept) if each != sorted(each)
            ]
        return found[:10]

    async def _decided(self, partition: int) -> None:
        """What was sent to the partition before is there, or never will be."""
        async with asyncio.timeout(WAIT_S):
            for number in itertools.count():
                with suppress(*TURNED_DOWN):
                    await self._log.append(TOPIC, [Entry(b"last-%d" % number)], partition=partition)
                    return

    async def _all(self, partition: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        offset, end = 0, 1
        while offset < end:
            page = await self._log.read(TOPIC, partition, offset, 10_000, 8 << 20)
            found.update((each.offset, each.value or b"") for each in page.entries)
            offset, end = page.next, page.end
        return found

    async def _next(self) -> None:
        self._progress.clear()
        await self._progress.wait()

    async def _produce(self, producer: int) -> None:
        await asyncio.sleep(PATIENCE_S * producer / PRODUCERS)
        partition = self._partitions[producer % len(self._partitions)]
        number = 0
        while not self._stopping:
            value = b"%d-%d" % (producer, number)
            number += 1
            try:
                (self.acknowledged[value],) = await self._log.append(TOPIC, [Entry(value)], partition=partition)
            except TURNED_DOWN as refused:
                self.refused.append(refused)
            self._progress.set()
            await asyncio.sleep(PACE_S)


def of_each(kept: dict[int, bytes]) -> Iterable[tuple[bytes, list[int]]]:
    """The numbers that each producer has there, as they stand."""
    found: dict[bytes, list[int]] = {}
    for _, value in sorted(kept.items()):
        producer, _, number = value.partition(b"-")
        found.setdefault(producer, []).append(int(number))
    return found.items()
