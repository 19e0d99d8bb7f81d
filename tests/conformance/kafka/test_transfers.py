"""Read, made and committed in one transaction while the real broker hangs or dies: once each; an engine that stops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest
from tests.conformance.kafka.conftest import link_to

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import PreconditionFailed, SoundstageError, Unavailable
from soundstage.engines.log.consumer import Consumer, ConsumerOptions
from soundstage.engines.log.kafka import KafkaLog
from soundstage.engines.log.kafka.carrier import Carrier
from soundstage.engines.log.port import Appending, Entry, TopicSpec
from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

pytestmark = pytest.mark.slow

SOURCE, MADE = "transfers/source", "transfers/made"
GROUP = "transfers/makers"
ENTRIES = 200
BATCH = 5
PATIENT = ConsumerOptions(limit_entries=BATCH, session_us=10_000_000)

broker: Callable[[], Generator[Cluster]] = server_fixture("kafka", scope="module")


class Transfer:
    """Each entry of one topic becomes one of another, by a member that begins anew where it is refused."""

    def __init__(self, url: str) -> None:
        self.log: KafkaLog = KafkaLog(
            link_to(url, "patience_s=2&attempt_s=1&linger_ms=0"), SystemEnvironment(), f"t{time.time_ns()}"
        )
        self.done: int = 0
        self.news: asyncio.Event = asyncio.Event()

    async def prepare(self) -> list[bytes]:
        await self.log.start()
        for name in (SOURCE, MADE):
            await self.log.create_topic(TopicSpec(name=name, partitions=2))
        values = [b"%04d" % number for number in range(ENTRIES)]
        await self.log.append(SOURCE, [Entry(value, value) for value in values])
        return values

    async def run(self) -> None:
        """All of it was carried over."""
        ends = time.monotonic() + 120
        while True:
            try:
                if await self._carried():
                    return
            except (Unavailable, PreconditionFailed):
                assert time.monotonic() < ends, "it came to no end"
                await asyncio.sleep(0.05)

    async def _carried(self) -> bool:
        """Whether all of it was: refusals go through, and what they leave open is asked of the group's position."""
        async with Consumer(self.log, GROUP, [SOURCE], SystemEnvironment(), PATIENT) as consumer:
            while (batch := await consumer.poll()) is not None:
                made = [Entry(each.value, each.key) for each in batch.entries]
                commit = consumer.applied()
                assert commit is not None
                await self.log.append_together([Appending(topic=MADE, entries=made, partition=0)], [commit])
                self.done += 1
                self.news.set()
        return sum((await self.log.committed(GROUP, SOURCE)).values()) == ENTRIES

    async def until(self, done: int) -> None:
        while self.done < done:
            self.news.clear()
            await self.news.wait()

    async def positions_told(self) -> float:
        """Seconds until the group's positions were told."""
        began = time.monotonic()
        while True:
            try:
                await self.log.committed(GROUP, SOURCE)
            except Unavailable:
                assert time.monotonic() < began + 120, "they never were"
            else:
                return time.monotonic() - began

    async def made(self) -> list[bytes]:
        found: list[bytes] = []
        offset = 0
        while True:
            page = await self.log.read(MADE, 0, offset, 10_000)
            found += [each.value or b"" for each in page.entries]
            offset = page.next
            if offset >= page.end:
                return found


async def outcome(transfer: Transfer, values: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """What is missing, and what is there more than once."""
    made = await transfer.made()
    return sorted(set(values) - set(made)), sorted({value for value in made if made.count(value) > 1})


async def test_every_entry_is_carried_over_once_while_the_broker_hangs(broker: Cluster) -> None:
    transfer = Transfer(broker.url)
    values = await transfer.prepare()
    running = asyncio.ensure_future(transfer.run())
    await transfer.until(10)
    broker.servers[0].pause()
    try:
        # Longer than a call is tried.
        await asyncio.sleep(5)
    finally:
        broker.servers[0].resume()
    await running
    found = await outcome(transfer, values)
    await transfer.log.stop()
    assert found == ([], [])


async def test_every_entry_is_carried_over_once_though_the_broker_dies_amid_a_transaction(
    broker: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = Transfer(broker.url)
    values = await transfer.prepare()
    dead, commit = threading.Event(), Carrier._commit  # pyright: ignore[reportPrivateUsage]

    def commit_too_late(carrier: Carrier, *given: Any) -> None:
        if transfer.done >= 10 and not dead.is_set():
            broker.servers[0].kill()
            dead.set()
        commit(carrier, *given)

    monkeypatch.setattr(Carrier, "_commit", commit_too_late)
    running = asyncio.ensure_future(transfer.run())
    try:
        assert await asyncio.to_thread(dead.wait, 60)
        # Longer than a call is tried.
        await asyncio.sleep(5)
    finally:
        await asyncio.to_thread(broker.restart)
    told_s = await transfer.positions_told()
    await running
    found = await outcome(transfer, values)
    await transfer.log.stop()
    assert found == ([], [])
    # The engine has Kafka end what was left open within a second or two: else Kafka does it in ten or more.
    assert told_s < 10


async def test_an_engine_with_members_and_transactions_stops_though_the_broker_is_gone(broker: Cluster) -> None:
    transfer = Transfer(broker.url)
    await transfer.prepare()
    running = asyncio.ensure_future(transfer.run())
    await transfer.until(10)
    broker.servers[0].kill()
    try:
        began = time.monotonic()
        await transfer.log.stop()
        took_s = time.monotonic() - began
        with pytest.raises(SoundstageError):
            await transfer.log.topics()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(broker.restart)
    assert took_s < 60
