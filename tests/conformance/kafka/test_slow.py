"""A real broker behind a network that is slow: calls end by their deadline, and all is well when it is quick again."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Generator

import pytest
from tests.conformance.kafka.conftest import link_to
from tests.conformance.proxy import Proxy

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.engines.log.kafka import KafkaLog
from soundstage.engines.log.port import Appending, Entry, TopicSpec
from soundstage.servers import Cluster
from soundstage.servers.ports import free_port

TOPIC, OTHER = "slow/events", "slow/others"

PAUSE_S = 1.5
"""Before each piece of an answer: longer than a call may take."""

DEADLINE_S = 0.5

MOST_S = 30.0
"""What a call that has half a second, or two seconds' patience, may take on a busy machine."""

WAIT_S = 240.0

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


def opened(proxy: Proxy, space: str) -> KafkaLog:
    options = "patience_s=2&attempt_s=1&linger_ms=0"
    return KafkaLog(link_to(f"kafka://{proxy.address}", options), SystemEnvironment(), space)


@pytest.fixture
async def log(proxy: Proxy, space: str) -> AsyncIterator[KafkaLog]:
    """An engine on the broker, with two topics."""
    before = {thread.name for thread in threading.enumerate() if "asyncio" not in thread.name}
    made = opened(proxy, space)
    await made.start()
    for name in (TOPIC, OTHER):
        await made.create_topic(TopicSpec(name=name))
    tasks = asyncio.all_tasks()
    yield made
    assert {each for each in asyncio.all_tasks() - tasks if "Proxy" not in repr(each)} == set()
    proxy.quick()
    await made.stop()
    await proxy.deserted()
    assert {thread.name for thread in threading.enumerate() if "asyncio" not in thread.name} <= before


def within(seconds: float) -> int:
    return time.monotonic_ns() + round(seconds * 1e9)


async def timed(call: Awaitable[object]) -> tuple[SoundstageError, float]:
    """The refusal that a call ends with, and after how long."""
    began = time.monotonic()
    with pytest.raises(SoundstageError) as refused:
        await call
    return refused.value, time.monotonic() - began


async def values(log: KafkaLog, topic: str = TOPIC) -> list[bytes]:
    page = await log.read(topic, 0, 0, 10_000)
    return [each.value or b"" for each in page.entries]


async def settled(log: KafkaLog) -> None:
    """All that was sent before is there: an append that comes behind it is."""
    ends = time.monotonic() + WAIT_S
    while True:
        try:
            await log.append(TOPIC, [Entry(b"last")])
        except Unavailable:
            assert time.monotonic() < ends, "it did not recover"
        else:
            return


async def test_calls_end_by_their_deadline_and_go_on_when_it_is_quick_again(log: KafkaLog, proxy: Proxy) -> None:
    await log.append(TOPIC, [Entry(b"before")])
    proxy.slow(PAUSE_S)
    calls = {
        "append": timed(log.append(TOPIC, [Entry(b"during")], deadline_ns=within(DEADLINE_S))),
        "together": timed(
            log.append_together([Appending(topic=OTHER, entries=[Entry(b"both")])], deadline_ns=within(DEADLINE_S))
        ),
        "bounds": timed(log.bounds(TOPIC)),
        "topics": timed(log.topics()),
    }
    ended = dict(zip(calls, await asyncio.gather(*calls.values()), strict=True))
    print({name: (repr(e), e.outcome, e.retryable, s) for name, (e, s) in ended.items()})
    proxy.quick()
    await settled(log)
    print(await values(log))
