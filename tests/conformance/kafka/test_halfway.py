"""A process that is killed amid a transaction, and what the next one finds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
from tests.conformance.kafka.conftest import link_to
from tests.conformance.kafka.halfway import GROUP, MADE, READY, SOURCE

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.log.kafka import KafkaLog
from soundstage.engines.log.port import Appending, Commit, Entry, Position, TopicSpec
from soundstage.servers import Cluster

WAIT_S = 240
"""Twice the patience of who died, the ten seconds after which a broker looks, and what a busy machine adds."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
async def log(kafka: Cluster, space: str) -> AsyncIterator[KafkaLog]:
    opened = KafkaLog(link_to(kafka.url, "linger_ms=0"), SystemEnvironment(), space)
    await opened.start()
    for name in (SOURCE, MADE):
        await opened.create_topic(TopicSpec(name=name, partitions=2))
    await opened.append(SOURCE, [Entry(b"first")], partition=0)
    yield opened
    await opened.stop()


async def killed_halfway(url: str, space: str) -> None:
    """A process had an open transaction, and is gone."""
    program = (sys.executable, "-m", "tests.conformance.kafka.halfway", url, space)
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == READY + b"\n"
    finally:
        process.kill()
        await process.wait()


async def position_told(log: KafkaLog) -> dict[int, int]:
    while True:
        try:
            return await log.committed(GROUP, SOURCE)
        except Unavailable:
            continue


async def made(log: KafkaLog) -> list[list[bytes | None]]:
    return [[each.value for each in (await log.read(MADE, number, 0)).entries] for number in range(2)]


async def test_of_a_process_that_dies_amid_a_transaction_nothing_is_left_and_nobody_waits_for_good(
    kafka: Cluster, space: str, log: KafkaLog
) -> None:
    await killed_halfway(kafka.url, space)
    # Producers do not wait: only who reads behind it does, and who asks for the group's positions.
    await log.append(MADE, [Entry(b"whole")], partition=0)
    seen = await made(log)
    async with asyncio.timeout(WAIT_S):
        position = await position_told(log)
        share = await log.join(GROUP, "second", [SOURCE], 6_000_000)
        commit = Commit(group=GROUP, member="second", generation=share.generation, positions=[Position(SOURCE, 0, 1)])
        await log.append_together([Appending(topic=MADE, entries=[Entry(b"whole")], partition=1)], [commit])
        while seen != [[b"whole"], [b"whole"]]:
            assert b"half" not in seen[0] + seen[1]
            await asyncio.sleep(0.05)
            seen = await made(log)
    assert position == {}
    assert await log.committed(GROUP, SOURCE) == {0: 1}
