"""A real broker behind a network that is slow: calls end by their deadline, and all is well when it is quick again."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import suppress

import pytest
from tests.conformance.calls import WAIT_S, refused, within
from tests.conformance.kafka.conftest import link_to
from tests.conformance.proxy import Proxy

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.engines.log.kafka import KafkaLog
from soundstage.engines.log.port import Appending, Entry, Position, TopicSpec
from soundstage.servers import Cluster
from soundstage.servers.ports import free_port

TOPIC, OTHER = "slow/events", "slow/others"

PAUSE_S = 3.0
"""Before each piece of an answer: longer than a look may take that a deadline does not cut short."""

DEADLINE_S = 0.5

PRODUCERS, EACH = 8, 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def broker() -> Generator[Cluster]:
    """Whoever comes by its second port is told to come to another, where the proxy of a test will be."""
    port = free_port(["127.0.0.1"], random.Random(), set())
    with Cluster("kafka", settings={"advertised": f"127.0.0.1:{port}"}) as started:
        yield started


@pytest.fixture
async def proxy(broker: Cluster) -> AsyncIterator[Proxy]:
    (node,) = broker.nodes
    port = int(node.settings["advertised"].rpartition(":")[2])
    async with Proxy(f"kafka://{node.host}:{node.ports['login']}", port=port).running() as running:
        yield running


def opened(proxy: Proxy, space: str, options: str = "patience_s=2&attempt_s=1") -> KafkaLog:
    return KafkaLog(link_to(f"kafka://{proxy.address}", f"{options}&linger_ms=0"), SystemEnvironment(), space)


@pytest.fixture
async def log(proxy: Proxy, space: str) -> AsyncIterator[KafkaLog]:
    """An engine on the broker, with two topics, of which nothing is left when it stops."""
    before = threads()
    made = opened(proxy, space)
    await made.start()
    for name in (TOPIC, OTHER):
        await made.create_topic(TopicSpec(name=name))
    yield made
    proxy.quick()
    await made.stop()
    await proxy.deserted()
    assert threads() <= before


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "asyncio" not in thread.name}


async def values(log: KafkaLog, topic: str = TOPIC) -> list[bytes]:
    """All that is there, however often it has to be asked for."""
    found: list[bytes] = []
    offset, end = 0, 1
    async with asyncio.timeout(WAIT_S):
        while offset < end:
            with suppress(Unavailable):
                page = await log.read(topic, 0, offset, 10_000)
                found += [each.value or b"" for each in page.entries]
                offset, end = page.next, page.end
    return found


async def settled(log: KafkaLog) -> None:
    """All that was sent before is there: what comes behind it is."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with suppress(Unavailable):
                await log.append(TOPIC, [Entry(b"last")])
                return


async def test_calls_end_by_their_deadline_and_all_goes_on_when_it_is_quick_again(log: KafkaLog, proxy: Proxy) -> None:
    await log.append(TOPIC, [Entry(b"before")])
    proxy.slow(PAUSE_S)
    answered, deadline_ns = proxy.answered, within(DEADLINE_S)
    late = await asyncio.gather(
        refused(log.append(TOPIC, [Entry(b"during")], deadline_ns=deadline_ns)),
        refused(log.append_together([Appending(topic=OTHER, entries=[Entry(b"both")])], deadline_ns=deadline_ns)),
    )
    ready = await log.wait([Position(TOPIC, 0, 0)], deadline_ns)
    assert proxy.answered == answered, "they ended when something was answered"
    silent = await asyncio.gather(refused(log.bounds(TOPIC)), refused(log.topics()), refused(log.read(TOPIC, 0, 0)))
    proxy.quick()
    await settled(log)
    kept = await values(log)
    assert {(type(each), each.outcome) for each in late} == {(DeadlineExceeded, "unknown")}
    assert ready == []
    assert {(type(each), each.outcome, each.retryable) for each in silent} == {(Unavailable, "not_applied", True)}
    assert (kept[0], kept.count(b"during") <= 1) == (b"before", True)


async def test_what_has_to_be_looked_up_first_takes_no_longer_than_the_deadline(log: KafkaLog, proxy: Proxy) -> None:
    other = opened(proxy, log._space)
    await other.start()
    proxy.slow(PAUSE_S)
    answered, deadline_ns = proxy.answered, within(DEADLINE_S)
    late = await asyncio.gather(
        refused(other.append(TOPIC, [Entry(b"during")], deadline_ns=deadline_ns)),
        refused(other.append_together([Appending(topic=OTHER, entries=[Entry(b"both")])], deadline_ns=deadline_ns)),
    )
    ready = await other.wait([Position(TOPIC, 0, 0)], deadline_ns)
    assert proxy.answered == answered, "they ended when something was answered"
    proxy.quick()
    await settled(other)
    kept = [await values(other), await values(other, OTHER)]
    await other.stop()
    assert {(type(each), each.outcome) for each in late} == {(DeadlineExceeded, "not_applied")}
    assert (ready, kept) == ([], [[b"last"], []])


async def test_of_what_was_acknowledged_while_it_was_slow_all_is_there_once_and_in_order(
    log: KafkaLog, proxy: Proxy
) -> None:
    acknowledged: list[bytes] = []
    given_up: list[SoundstageError] = []

    async def produce(producer: int) -> None:
        for number in range(EACH):
            value = b"%d-%02d" % (producer, number)
            try:
                await log.append(TOPIC, [Entry(value)], deadline_ns=within(1.0 if number % 2 else 0.1))
            except (Unavailable, DeadlineExceeded) as error:
                given_up.append(error)
            else:
                acknowledged.append(value)

    proxy.slow(0.2, 50_000)
    await asyncio.gather(*(produce(number) for number in range(PRODUCERS)))
    proxy.quick()
    await settled(log)
    kept = [each for each in await values(log) if each != b"last"]
    assert given_up
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))
    for producer in range(PRODUCERS):
        own = [each for each in kept if each.startswith(b"%d-" % producer)]
        assert own == sorted(own)


async def test_what_one_attempt_has_no_time_for_is_read_by_whoever_gives_it_more(log: KafkaLog, proxy: Proxy) -> None:
    lumps = [bytes([number]) * 100_000 for number in range(8)]
    await log.append(TOPIC, [Entry(each) for each in lumps])
    proxy.slow(0.01, 300_000)
    hasty = await refused(log.read(TOPIC, 0, 0))
    patient = opened(proxy, log._space, "patience_s=120&attempt_s=60")
    await patient.start()
    found = await values(patient)
    await patient.stop()
    assert (type(hasty), hasty.outcome, hasty.retryable) == (Unavailable, "not_applied", True)
    assert found == lumps
