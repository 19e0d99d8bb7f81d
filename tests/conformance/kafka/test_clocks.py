"""Clocks that disagree: those of processes with one another, and with the broker's.

The conformance suite runs three years behind the broker's clock as it is; here processes are ahead, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.log.kafka import KafkaLog, Link
from soundstage.engines.log.port import Entry, TopicSpec

pytestmark = pytest.mark.slow

TOPIC = "clocks/events"
DAY_S = 86_400.0
DAY_US = 86_400_000_000

WAIT_S = 240.0
"""For what takes some seconds, or much longer on a machine that is busy."""

Opened = Callable[[float], Awaitable[KafkaLog]]


@pytest.fixture
async def opened(link: Link, space: str) -> AsyncIterator[Opened]:
    """Engines of processes whose clocks are so many seconds off the broker's, on the same topics."""
    made: list[KafkaLog] = []

    async def opened(off_s: float) -> KafkaLog:
        environment = VirtualEnvironment(len(made), time.time_ns() + round(off_s * 1e9))
        made.append(KafkaLog(link, environment, space))
        await made[-1].start()
        return made[-1]

    yield opened
    for each in made:
        await each.stop()


@pytest.mark.parametrize("off_s", [-DAY_S, DAY_S])
async def test_entries_have_the_time_of_the_process_that_appends_and_are_found_by_it(
    opened: Opened, off_s: float
) -> None:
    log = await opened(off_s)
    await log.create_topic(TopicSpec(name=TOPIC))
    own_ms = log._environment.now_us() // 1_000
    await log.append(TOPIC, [Entry(b"own"), Entry(b"said", time_us=(own_ms - 1_000) * 1_000)])
    page = await log.read(TOPIC, 0, 0)
    assert [each.time_us // 1_000 for each in page.entries] == [own_ms, own_ms - 1_000]
    assert [await log.offset_at(TOPIC, 0, (own_ms + late_ms) * 1_000) for late_ms in (-2_000, 0, 1)] == [0, 0, 2]


async def test_a_time_is_found_though_processes_disagree_about_what_it_is(opened: Opened) -> None:
    behind, ahead = await opened(-DAY_S), await opened(DAY_S)
    await behind.create_topic(TopicSpec(name=TOPIC))
    await behind.append(TOPIC, [Entry(b"yesterday")])
    await ahead.append(TOPIC, [Entry(b"tomorrow")])
    await behind.append(TOPIC, [Entry(b"yesterday too")])
    now_us = time.time_ns() // 1_000
    asked = [now_us - 2 * DAY_US, now_us, now_us + 2 * DAY_US]
    found = [[await log.offset_at(TOPIC, 0, at_us) for at_us in asked] for log in (behind, ahead)]
    assert found == [[0, 1, 3], [0, 1, 3]]


async def test_what_is_too_old_by_the_clock_of_who_sweeps_goes_and_no_more(opened: Opened) -> None:
    right, ahead = await opened(0.0), await opened(120.0)
    await right.create_topic(TopicSpec(name=TOPIC, retention_us=600_000_000))
    now_us = right._environment.now_us()
    ages_s = (540, 470, 0)
    await right.append(TOPIC, [Entry(b"%d" % age_s, time_us=now_us - age_s * 1_000_000) for age_s in ages_s])
    swept = [(await log.sweep(1_000)).removed for log in (right, ahead, right)]
    assert swept == [0, 1, 0]
    assert [each.value for each in (await ahead.read(TOPIC, 0, 0)).entries] == [b"470", b"0"]


async def test_what_a_process_appends_that_is_behind_by_more_than_the_age_of_its_topic_goes_by_itself(
    opened: Opened,
) -> None:
    behind = await opened(-DAY_S)
    await behind.create_topic(TopicSpec(name=TOPIC, retention_us=3_600_000_000))
    await behind.append(TOPIC, [Entry(b"old")])
    async with asyncio.timeout(WAIT_S):
        while (await behind.bounds(TOPIC))[0].start == 0:  # noqa: ASYNC110 - brokers tell nobody
            await asyncio.sleep(0.05)
    assert (await behind.append(TOPIC, [Entry(b"old too")]))[0].offset == 1


async def test_a_group_of_processes_whose_clocks_disagree_shares_a_topic(opened: Opened) -> None:
    behind, ahead = await opened(-DAY_S), await opened(DAY_S)
    await behind.create_topic(TopicSpec(name=TOPIC, partitions=2))
    await behind.join("clocks/readers", "behind", [TOPIC], 6_000_000)
    await ahead.join("clocks/readers", "ahead", [TOPIC], 6_000_000)
    share = await behind.join("clocks/readers", "behind", [TOPIC], 6_000_000)
    other = await ahead.join("clocks/readers", "ahead", [TOPIC], 6_000_000)
    assert sorted(share.partitions[TOPIC] + other.partitions[TOPIC]) == [0, 1]
    assert await behind.beat("clocks/readers", "behind", share.generation)
