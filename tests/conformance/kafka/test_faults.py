"""A real broker that is killed, hangs or refuses: what callers see, and what is kept."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import suppress

import pytest
from tests.conformance.calls import WAIT_S, refused, within
from tests.conformance.kafka.conftest import link_to
from tests.conformance.limits import file_limit
from tests.conformance.pauses import paused

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.engines.log.consumer import Consumer, ConsumerOptions
from soundstage.engines.log.kafka import KafkaLog
from soundstage.engines.log.port import Appending, Commit, Entry, Position, Spot, TopicSpec
from soundstage.servers import Cluster
from soundstage.servers.ports import free_port
from soundstage.testing.servers import server_fixture

TOPIC, OTHER = "faults/events", "faults/others"
PARTITIONS = 3
PRODUCERS = 8
NEWCOMERS = 6
GIVEN_UP_S = 2.2
"""So long a broker hangs that a connection to it is given up twice where an attempt may take a second."""

NUMBERS = {b"%d" % number for number in range(10)}

LARGE_BYTES = 900_000
FULL_BYTES = 8 << 20
"""More than any file of a broker that was not written to has."""

TRIES_MAX = 32
"""Several times what such a file can hold."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

broker: Callable[[], Generator[Cluster]] = server_fixture("kafka", scope="module")


@pytest.fixture
async def log(broker: Cluster) -> AsyncIterator[KafkaLog]:
    opened = KafkaLog(link_to(broker.url, "patience_s=3&attempt_s=1"), SystemEnvironment(), f"f{time.time_ns()}")
    await opened.start()
    await opened.create_topic(TopicSpec(name=TOPIC, partitions=PARTITIONS))
    yield opened
    await opened.stop()


async def values(log: KafkaLog, topic: str = TOPIC, partitions: int = PARTITIONS) -> list[bytes]:
    """All that is there, however often it has to be asked for."""
    found: list[bytes] = []
    async with asyncio.timeout(WAIT_S):
        for partition in range(partitions):
            offset, end = 0, 1
            while offset < end:
                with suppress(Unavailable):
                    page = await log.read(topic, partition, offset, 10_000, 8 << 20)
                    found += [each.value or b"" for each in page.entries]
                    offset, end = page.next, page.end
    return found


async def recovered(log: KafkaLog) -> None:
    """The engine appends again."""
    ends = time.monotonic() + WAIT_S
    while True:
        try:
            await log.append(TOPIC, [Entry(b"recovered")], deadline_ns=within(2))
        except (Unavailable, DeadlineExceeded):
            assert time.monotonic() < ends, "it did not recover"
        else:
            return


async def test_nothing_is_lost_doubled_or_halved_when_the_broker_is_killed(log: KafkaLog, broker: Cluster) -> None:
    await log.create_topic(TopicSpec(name=OTHER, partitions=2))
    acknowledged: dict[bytes, Spot] = {}
    transacted: set[bytes] = set()
    sent: set[bytes] = set()
    stopping, progress = asyncio.Event(), asyncio.Event()

    async def repeat(producer: int, call: Callable[[bytes], Awaitable[None]]) -> None:
        number = 0
        while not stopping.is_set():
            value = b"%d-%06d" % (producer, number)
            number += 1
            try:
                await call(value)
            except Unavailable:
                continue
            progress.set()

    async def append(value: bytes) -> None:
        sent.add(value)
        (acknowledged[value],) = await log.append(TOPIC, [Entry(value, value)])

    async def transact(value: bytes) -> None:
        both = [Appending(topic=OTHER, entries=[Entry(value)] * 2, partition=number) for number in range(2)]
        await log.append_together(both)
        transacted.add(value)

    async def more(count: int) -> None:
        wanted = len(acknowledged) + 10 * count, len(transacted) + count
        while len(acknowledged) < wanted[0] or len(transacted) < wanted[1]:
            progress.clear()
            await progress.wait()

    producers = [asyncio.ensure_future(repeat(number, append)) for number in range(PRODUCERS)]
    producers += [asyncio.ensure_future(repeat(number, transact)) for number in range(3)]
    await more(30)
    broker.servers[0].kill()
    await asyncio.to_thread(broker.restart)
    await more(30)
    stopping.set()
    await asyncio.gather(*producers)
    kept = await values(log)
    assert set(acknowledged) <= set(kept) <= sent
    assert len(kept) == len(set(kept))
    value, (partition, offset) = max(acknowledged.items(), key=lambda each: each[1])
    assert (await log.read(TOPIC, partition, offset)).entries[0].value == value
    whole = Counter(await values(log, OTHER, 2))
    assert transacted <= set(whole)
    assert set(whole.values()) == {4}


async def test_a_broker_that_hangs_ends_appends_at_their_deadline(log: KafkaLog, broker: Cluster) -> None:
    await log.append(TOPIC, [Entry(b"before")])
    async with paused(*broker.servers):
        late = await refused(log.append(TOPIC, [Entry(b"during")], deadline_ns=within(1)))
        asked = await refused(log.bounds(TOPIC))
    assert (type(late), late.outcome) == (DeadlineExceeded, "unknown")
    assert (type(asked), asked.outcome, asked.retryable) == (Unavailable, "not_applied", True)
    await recovered(log)
    kept = await values(log)
    assert (kept.count(b"before"), kept.count(b"during") <= 1) == (1, True)


async def test_of_first_entries_that_a_broker_hung_amid_all_is_there_that_was_acknowledged(broker: Cluster) -> None:
    # Larger than what lies between the two: part of a call is under way when the connection is given up.
    lumps, options = [bytes([number]) * (1 << 20) for number in range(4)], "patience_s=60&attempt_s=1&linger_ms=0"
    logs = [KafkaLog(link_to(broker.url, options), SystemEnvironment(), f"f{time.time_ns()}") for _ in range(NEWCOMERS)]
    for log in logs:
        await log.start()
        await log.create_topic(TopicSpec(name=TOPIC))
    calls: list[asyncio.Task[list[Spot]]] = []
    for log in logs:
        calls.append(asyncio.ensure_future(log.append(TOPIC, [Entry(lump) for lump in lumps])))
        # Each is at another point when the broker hangs.
        await asyncio.sleep(0.01)
    async with paused(*broker.servers, seconds=GIVEN_UP_S):
        pass
    spots = await asyncio.gather(*calls)
    kept = [await values(log, partitions=1) for log in logs]
    await asyncio.gather(*(log.stop() for log in logs))
    assert spots == [[Spot(0, number) for number in range(len(lumps))]] * NEWCOMERS
    assert kept == [lumps] * NEWCOMERS


async def test_all_go_on_after_a_broker_was_down(log: KafkaLog, broker: Cluster) -> None:
    options = ConsumerOptions(session_us=6_000_000)
    for partition in range(PARTITIONS):
        await log.append(TOPIC, [Entry(b"%d" % number) for number in range(10)], partition=partition)
    seen: list[bytes] = []
    waiting = asyncio.ensure_future(log.wait([Position(TOPIC, 1, 11)], within(2 * WAIT_S)))
    async with Consumer(log, "faults/readers", [TOPIC], SystemEnvironment(), options) as consumer:
        seen += [each.value or b"" for each in (await anext(consumer)).entries]
        await consumer.commit()
        broker.servers[0].kill()
        try:
            down = await refused(log.append(TOPIC, [Entry(b"down")]))
            asked = await refused(log.topics())
            warned = log.warning
        finally:
            await asyncio.to_thread(broker.restart)
        await recovered(log)
        await log.append(TOPIC, [Entry(b"at last")] * 2, partition=1)
        ends = time.monotonic() + WAIT_S
        while len(seen) < 10 * PARTITIONS and time.monotonic() < ends:
            try:
                batch = await consumer.poll()
                seen += [each.value or b"" for each in batch.entries if each.value in NUMBERS] if batch else []
                await consumer.commit()
            except Unavailable:
                await asyncio.sleep(0.1)
    assert (type(down), down.outcome, down.retryable) == (Unavailable, "unknown", True)
    assert (type(asked), asked.retryable) == (Unavailable, True)
    assert set(seen) == NUMBERS
    assert await waiting == [Position(TOPIC, 1, 11)]
    await log.topics()
    assert (warned is None, log.warning) == (False, None)


async def test_a_broker_whose_disk_is_full_takes_nothing_and_loses_nothing(log: KafkaLog, broker: Cluster) -> None:
    (server,) = broker.servers
    acknowledged: list[bytes] = []
    ended: list[SoundstageError] = []
    assert server.pid is not None
    with file_limit(server.pid, FULL_BYTES):
        for number in range(TRIES_MAX):
            value = b"%02d" % number + bytes(LARGE_BYTES)
            try:
                await log.append(TOPIC, [Entry(value)], partition=0, deadline_ns=within(2) if ended else None)
            except SoundstageError as error:
                ended.append(error)
                if len(ended) == 2:
                    break
            else:
                acknowledged.append(value)
    # It stops for that, and is started again by whoever made room.
    await asyncio.to_thread(broker.restart)
    await recovered(log)
    kept = Counter(await values(log))
    assert [(type(each), each.outcome) for each in ended] == [(Unavailable, "unknown"), (DeadlineExceeded, "unknown")]
    assert ended[0].retryable
    assert acknowledged
    assert {kept[value] for value in acknowledged} == {1}


async def test_a_refused_connection_fails_the_start_with_the_reason() -> None:
    port = free_port(["127.0.0.1"], random.Random(), set())
    engine = KafkaLog(link_to(f"kafka://127.0.0.1:{port}", "start_s=1"), SystemEnvironment())
    error = await refused(engine.start())
    assert type(error) is Unavailable
    assert "refused" in str(error)
    await engine.stop()


async def test_a_broker_that_knows_no_group_yet_says_so() -> None:
    with Cluster("kafka") as fresh:
        log = KafkaLog(link_to(fresh.url), SystemEnvironment(), "fresh")
        await log.start()
        assert await log.topics() == []
        await log.create_topic(TopicSpec(name=TOPIC, partitions=PARTITIONS))
        await log.append(TOPIC, [Entry(b"first"), Entry(b"second")], partition=0)
        assert await log.committed("readers", TOPIC) == {}
        await log.commit(Commit(group="readers", positions=[Position(TOPIC, 0, 1)]))
        assert await log.committed("readers", TOPIC) == {0: 1}
        await log.stop()


async def test_an_engine_that_stops_leaves_no_thread(broker: Cluster) -> None:
    before = {thread.name for thread in threading.enumerate() if "asyncio" not in thread.name}
    for _ in range(2):
        own = KafkaLog(link_to(broker.url), SystemEnvironment(), f"f{time.time_ns()}")
        await own.start()
        await own.create_topic(TopicSpec(name=TOPIC))
        await own.append(TOPIC, [Entry(b"a")])
        await own.read(TOPIC, 0, 0)
        await own.join("faults/leavers", "one", [TOPIC], 6_000_000)
        await own.stop()
    left = {thread.name for thread in threading.enumerate() if "asyncio" not in thread.name} - before
    assert left == set()
