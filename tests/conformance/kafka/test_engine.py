"""What the engine does on a real Kafka beyond the port: what Kafka does by itself, and other engines beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.conformance.kafka.conftest import link_to

from soundstage import Stage
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, TooLarge
from soundstage.engines.log.consumer import Consumer, ConsumerOptions
from soundstage.engines.log.kafka import KafkaLog, Link
from soundstage.engines.log.kafka.driver import admin
from soundstage.engines.log.kafka.names import group_in_kafka, topic_in_kafka
from soundstage.engines.log.port import Entry, Position, TopicSpec
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.trial import try_engine
from soundstage.servers import Cluster

pytestmark = pytest.mark.slow

NAME, GROUP = "engine/events", "engine/readers"
PATIENCE_S = 60


@pytest.fixture
async def log(link: Link, space: str) -> AsyncIterator[KafkaLog]:
    opened = KafkaLog(link, SystemEnvironment(), space)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def other(kafka: Cluster, space: str) -> AsyncIterator[KafkaLog]:
    """Another process, as far as Kafka can tell."""
    opened = KafkaLog(link_to(kafka.url), SystemEnvironment(), space)
    await opened.start()
    yield opened
    await opened.stop()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Kafka has come to it."""
    for _ in range(10 * PATIENCE_S):
        if await true():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come to it")


async def test_what_another_engine_appends_ends_a_wait(log: KafkaLog, other: KafkaLog) -> None:
    await log.create_topic(TopicSpec(name=NAME))
    waiting = asyncio.ensure_future(log.wait([Position(NAME, 0, 0)]))
    await asyncio.sleep(0)
    await other.append(NAME, [Entry(b"a")])
    async with asyncio.timeout(PATIENCE_S):
        assert await waiting == [Position(NAME, 0, 0)]
    assert [each.value for each in (await log.read(NAME, 0, 0)).entries] == [b"a"]


async def test_a_topic_that_another_engine_drops_is_gone_here_too(log: KafkaLog, other: KafkaLog) -> None:
    await log.create_topic(TopicSpec(name=NAME))
    await log.append(NAME, [Entry(b"a")])
    await other.drop_topic(NAME)

    async def is_gone() -> bool:
        try:
            await log.bounds(NAME)
        except NotFound:
            return True
        return False

    # A broker says that a topic is gone a moment before it stops to answer those who know it from before.
    await until(is_gone)
    with pytest.raises(NotFound):
        await log.append(NAME, [Entry(b"a")])


async def test_engines_of_other_spaces_see_nothing(log: KafkaLog, link: Link) -> None:
    await log.create_topic(TopicSpec(name=NAME))
    apart = KafkaLog(link, SystemEnvironment(), "apart")
    await apart.start()
    assert await apart.topics() == []
    await apart.stop()


async def test_members_of_two_engines_share_partitions(log: KafkaLog, other: KafkaLog) -> None:
    await log.create_topic(TopicSpec(name=NAME, partitions=4))
    options = ConsumerOptions(session_us=6_000_000)
    environment = SystemEnvironment()
    async with (
        Consumer(log, GROUP, [NAME], environment, options) as first,
        Consumer(other, GROUP, [NAME], environment, options) as second,
    ):

        async def shared() -> bool:
            await first.poll()
            await second.poll()
            held = [each.assignment for each in (first, second)]
            shares = [[] if each is None else each.partitions.get(NAME, []) for each in held]
            return sorted(shares[0] + shares[1]) == [0, 1, 2, 3] and len(shares[0]) == 2

        await until(shared)


async def test_who_is_cancelled_while_it_joins_leaves_nobody_behind(log: KafkaLog, link: Link, space: str) -> None:
    await log.create_topic(TopicSpec(name=NAME))
    # A member that does not say a word holds the group up for as long as it is one.
    settings = {"client.id": "silent", "partition.assignment.strategy": "roundrobin"}
    silent = link.consumer(group_in_kafka(space, GROUP), **settings)
    silent.subscribe([topic_in_kafka(space, NAME)])

    async def holds_all() -> bool:
        silent.poll(0)
        return len(silent.assignment()) == 1

    async def members() -> list[str]:
        return [member for group in await log.groups() for member in group.members]

    async def both_are_members() -> bool:
        return await members() == ["one", "silent"]

    async def nobody_is_left() -> bool:
        return await members() == []

    await until(holds_all)
    joining = asyncio.ensure_future(log.join(GROUP, "one", [NAME], 6_000_000))
    await until(both_are_members)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    await asyncio.to_thread(silent.close)
    await until(nobody_is_left)


async def test_who_is_cancelled_while_it_joins_takes_nothing_from_others(log: KafkaLog) -> None:
    await log.create_topic(TopicSpec(name=NAME, partitions=2))

    async def has_all() -> bool:
        share = await log.join(GROUP, "stays", [NAME], 6_000_000)
        return share.partitions == {NAME: [0, 1]}

    await until(has_all)
    # Before Kafka has heard of it, amid that, and while the group is put together.
    for number, passed_s in enumerate((0, 0.001, 0.004, 0.04, 0.16)):
        joining = asyncio.ensure_future(log.join(GROUP, f"leaves-{number}", [NAME], 6_000_000))
        await asyncio.wait([joining], timeout=passed_s)
        if joining.cancel():
            with pytest.raises(asyncio.CancelledError):
                await joining
        await log.leave(GROUP, f"leaves-{number}")
        await until(has_all)


async def test_keys_are_compacted_and_deletes_go(kafka: Cluster, space: str) -> None:
    quick = KafkaLog(link_to(kafka.url, "segment_s=0.2"), SystemEnvironment(), space)
    await quick.start()
    await quick.create_topic(TopicSpec(name=NAME, compact=True, compact_lag_us=0, delete_retention_us=0))
    for value in (b"1", b"2", None):
        await quick.append(NAME, [Entry(value, b"gone"), Entry(value or b"3", b"kept")])

    async def compacted() -> bool:
        # Only what is not the newest file is compacted, and an append begins the next.
        await quick.append(NAME, [Entry(b"", b"other")])
        page = await quick.read(NAME, 0, 0, 100_000)
        return [each.value for each in page.entries if each.key != b"other"] == [b"3"]

    await until(compacted)
    await quick.stop()


async def test_what_is_too_much_goes_file_by_file(kafka: Cluster, space: str) -> None:
    quick = KafkaLog(link_to(kafka.url, "segment_s=0.2"), SystemEnvironment(), space)
    await quick.start()
    await quick.create_topic(TopicSpec(name=NAME, retention_bytes=1_000))

    async def went() -> bool:
        await quick.append(NAME, [Entry(bytes(500))])
        return (await quick.bounds(NAME))[0].start > 0

    await until(went)
    page = await quick.read(NAME, 0, 0)
    assert page.start > 0
    assert page.entries[0].offset == page.start
    await quick.stop()


async def test_a_name_that_kafka_cannot_hold_is_refused(log: KafkaLog) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await log.create_topic(TopicSpec(name="-" * 130))
    assert refused.value.field == "name"


async def test_tokens_are_refused_and_not_ignored(log: KafkaLog) -> None:
    await log.create_topic(TopicSpec(name=NAME))
    with pytest.raises(InvalidArgument) as refused:
        await log.append(NAME, [Entry(b"a")], token="t")
    assert refused.value.field == "token"


async def test_an_entry_that_the_topic_is_too_small_for_is_too_large(log: KafkaLog, link: Link, space: str) -> None:
    await log.create_topic(TopicSpec(name=NAME))
    smaller = admin.ConfigEntry("max.message.bytes", "1000", incremental_operation=admin.AlterConfigOpType.SET)
    place = topic_in_kafka(space, NAME)
    resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, place, incremental_configs=[smaller])
    (changed,) = link.admin.incremental_alter_configs([resource]).values()
    await asyncio.wrap_future(changed)

    async def refused() -> bool:
        # The broker hears of the setting a moment later.
        try:
            await log.append(NAME, [Entry(bytes(2_000))])
        except TooLarge:
            return True
        return False

    await until(refused)


async def test_readers_of_one_partition_go_on_side_by_side(log: KafkaLog) -> None:
    await log.create_topic(TopicSpec(name=NAME))
    for begin in range(0, 3_000, 1_000):
        await log.append(NAME, [Entry(b"%d" % number) for number in range(begin, begin + 1_000)])

    async def everything(step: int) -> list[bytes | None]:
        found: list[bytes | None] = []
        while len(found) < 3_000:
            found += [each.value for each in (await log.read(NAME, 0, len(found), step)).entries]
        return found

    expected = [b"%d" % number for number in range(3_000)]
    assert await asyncio.gather(*(everything(step) for step in (70, 333, 900, 41, 1_000, 2_000))) == [expected] * 6


async def test_a_trial_of_the_engine_leaves_nothing(log: KafkaLog, kafka: Cluster, space: str, tmp_path: Path) -> None:
    config = EngineConfig(url=f"{kafka.url}?space={space}")
    (trial,) = await try_engine(config, str(tmp_path), SystemEnvironment(), 3)
    assert (trial.port, trial.problem, trial.version.partition(" ")[0]) == ("log", "", "cluster")
    assert "transactions" in trial.capabilities
    assert await log.topics() == []


async def test_a_stage_has_its_log_on_kafka(kafka: Cluster, space: str) -> None:
    config = {"engines": {"events": {"url": f"{kafka.url}?space={space}"}}}
    async with Stage.open(data="memory:", config=config) as stage:
        log = stage.log("events")
        await log.create_topic(TopicSpec(name=NAME))
        await log.append(NAME, [Entry(b"a")])
        assert (await log.bounds(NAME)) == [(0, 1)]


async def test_times_between_milliseconds_are_kept(log: KafkaLog) -> None:
    await log.create_topic(TopicSpec(name=NAME))
    now_us = time.time_ns() // 10**6 * 1_000
    times = [now_us + each for each in (1, 500, 999, 1_000, 2_001)]
    await log.append(NAME, [Entry(b"", time_us=each, headers=(("own", b"1"),)) for each in times])
    found = (await log.read(NAME, 0, 0)).entries
    assert [(each.time_us, each.headers) for each in found] == [(each, (("own", b"1"),)) for each in times]
    assert [await log.offset_at(NAME, 0, now_us + each) for each in (0, 2, 999, 1_000, 1_001, 2_002)] == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]
