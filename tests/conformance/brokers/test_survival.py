"""One broker after another is killed, two are gone at once, and two hang, while producers go on.

What must hold: what was acknowledged is there at the end, once, and where it was said to be; what a call gave up is
there once or not at all; what a producer appended stands in its order.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.conformance.brokers.traffic import PARTITIONS, TOPIC, WAIT_S, Traffic

from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.engines.log.kafka import KafkaLog, Link
from soundstage.engines.log.kafka.names import topic_in_kafka
from soundstage.engines.log.port import Entry
from soundstage.servers import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DEADLINE_S = 1.5


async def whole(brokers: Cluster, link: Link) -> None:
    """All brokers run and have every copy."""
    await asyncio.to_thread(brokers.start)
    await asyncio.to_thread(brokers.ready, WAIT_S)
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(in_sync, link, len(brokers.nodes)):  # noqa: ASYNC110 - brokers tell nobody
            await asyncio.sleep(0.1)


def in_sync(link: Link, count: int) -> bool:
    try:
        found = link.admin.list_topics(timeout=5)
    except Exception:  # noqa: BLE001 - whatever it is, it is not in sync
        return False
    partitions = [each for topic in found.topics.values() for each in topic.partitions.values()]
    return len(found.brokers) == count and all(len(each.isrs) == len(each.replicas) for each in partitions)


async def leader_of(link: Link, place: str, partition: int) -> int:
    """The number of the node that leads it, once the broker that is asked has heard of it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            listed = await asyncio.to_thread(link.admin.list_topics, place, timeout=WAIT_S)
            partitions = listed.topics[place].partitions
            if partition in partitions and partitions[partition].leader > 0:
                return partitions[partition].leader - 1
            await asyncio.sleep(0.1)


async def refused(log: KafkaLog, partition: int) -> SoundstageError:
    """How an append ends that must not succeed."""
    ends_ns = time.monotonic_ns() + round(DEADLINE_S * 1e9)
    with pytest.raises(SoundstageError) as error:
        await log.append(TOPIC, [Entry(b"late-0")], partition=partition, deadline_ns=ends_ns)
    return error.value


async def test_what_calls_gave_up_while_two_hang_is_there_once(
    brokers: Cluster, link: Link, log: KafkaLog, space: str
) -> None:
    # The one that is left takes all that comes and may acknowledge none of it.
    left = await leader_of(link, topic_in_kafka(space, TOPIC), 0)
    hanging = [server for server in brokers.servers if server.node.number != left]
    async with Traffic(log, range(1)) as traffic:
        await traffic.more(20)
        for server in hanging:
            server.pause()
        try:
            await traffic.no_more(20)
        finally:
            for server in hanging:
                server.resume()
        await traffic.more(50)
    assert await traffic.wrong() == []
    # Who has to look the topic up meanwhile sends nothing, and a broker that has just come back may not know it.
    outcomes = {each.outcome for each in traffic.refused if isinstance(each, Unavailable)}
    assert {"unknown"} <= outcomes <= {"unknown", "not_applied"}


async def test_all_go_on_when_one_after_another_is_killed_and_then_two(
    brokers: Cluster, link: Link, log: KafkaLog
) -> None:
    first, second, third = brokers.servers
    async with Traffic(log) as traffic:
        await traffic.more(50)
        first.kill()
        await traffic.more(50)
        await whole(brokers, link)
        second.kill()
        await traffic.more(50)
        third.kill()
        # There is no partition of which two copies are left.
        ended = await asyncio.gather(*(refused(log, number) for number in range(PARTITIONS)))
        await whole(brokers, link)
        await traffic.more(50)
    assert await traffic.wrong() == []
    assert {(type(each), each.outcome) for each in ended} <= {(DeadlineExceeded, "unknown"), (Unavailable, "unknown")}
