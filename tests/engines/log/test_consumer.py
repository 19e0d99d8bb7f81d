"""Members of a group see every entry at least once, and know when their share has gone to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.engines.log.consumer import Consumer, ConsumerOptions, EntriesLost
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Entry, TopicSpec

TOPIC, GROUP = "plays", "billing"


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=4)


@pytest.fixture
async def log(environment: VirtualEnvironment) -> AsyncIterator[MemoryLog]:
    log = MemoryLog(environment)
    await log.start()
    await log.create_topic(TopicSpec(name=TOPIC, partitions=4))
    yield log
    await log.stop()


async def append(log: MemoryLog, *values: bytes, partition: int = 0) -> None:
    await log.append(TOPIC, [Entry(value) for value in values], partition=partition)


def consumer(log: MemoryLog, environment: VirtualEnvironment, **options: Any) -> Consumer:
    return Consumer(log, GROUP, [TOPIC], environment, ConsumerOptions(**options))


async def passed(environment: VirtualEnvironment, seconds: int) -> None:
    """Who waits has let so much time pass."""
    while environment.monotonic_ns() < seconds * 10**9:  # noqa: ASYNC110 - nobody tells when
        await asyncio.sleep(0)


async def drained(reader: Consumer) -> list[bytes | None]:
    """What can be read now."""
    values: list[bytes | None] = []
    while (batch := await reader.poll()) is not None:
        values += [entry.value for entry in batch.entries]
    return values


async def test_everything_is_read_and_committed(log: MemoryLog, environment: VirtualEnvironment) -> None:
    for partition in range(4):
        await append(log, b"%d" % partition, partition=partition)
    async with consumer(log, environment) as reader:
        assert sorted(await drained(reader)) == [b"0", b"1", b"2", b"3"]  # pyright: ignore[reportArgumentType]
        assert await reader.commit()
    assert await log.committed(GROUP, TOPIC) == dict.fromkeys(range(4), 1)
    assert [info.members for info in await log.groups()] == [[]]


async def test_batches_come_as_entries_do(log: MemoryLog, environment: VirtualEnvironment) -> None:
    async with consumer(log, environment) as reader:
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        await append(log, b"a", b"b", partition=2)
        batch = await waiting
    assert (batch.topic, batch.partition, batch.position) == (TOPIC, 2, 2)
    assert [entry.value for entry in batch.entries] == [b"a", b"b"]


async def test_who_follows_begins_at_the_groups_position(log: MemoryLog, environment: VirtualEnvironment) -> None:
    await append(log, b"a", b"b")
    async with consumer(log, environment, limit_entries=1) as first:
        assert (await anext(first)).position == 1
        await first.commit()
        assert (await anext(first)).position == 2
    async with consumer(log, environment) as second:
        assert await drained(second) == [b"b"]


async def test_what_was_not_committed_is_read_again(log: MemoryLog, environment: VirtualEnvironment) -> None:
    await append(log, b"a")
    for _ in range(2):
        async with consumer(log, environment) as reader:
            assert await drained(reader) == [b"a"]


async def test_partitions_take_turns(log: MemoryLog, environment: VirtualEnvironment) -> None:
    for partition in range(4):
        await append(log, *[b""] * 3, partition=partition)
    async with consumer(log, environment, limit_entries=1) as reader:
        turns = [(await anext(reader)).partition for _ in range(8)]
    assert turns == [0, 1, 2, 3, 0, 1, 2, 3]


async def test_two_members_read_everything_once(log: MemoryLog, environment: VirtualEnvironment) -> None:
    one, two = consumer(log, environment), consumer(log, environment)
    async with one, two:
        await one.beat()
        for partition in range(4):
            await append(log, b"%d" % partition, partition=partition)
        shares = [await drained(one), await drained(two)]
        assert [len(share) for share in shares] == [2, 2]
        assert sorted(shares[0] + shares[1]) == [b"0", b"1", b"2", b"3"]  # pyright: ignore[reportArgumentType]


async def test_who_lost_its_share_commits_nothing_and_goes_on(log: MemoryLog, environment: VirtualEnvironment) -> None:
    await append(log, b"a")
    async with consumer(log, environment) as one:
        assert await drained(one) == [b"a"]
        async with consumer(log, environment) as two:
            assert not await one.commit()
            assert await log.committed(GROUP, TOPIC) == {}
            seen = await drained(one) + await drained(two)
            assert seen == [b"a"]


async def test_who_does_not_ask_is_taken_for_gone(log: MemoryLog, environment: VirtualEnvironment) -> None:
    await append(log, b"a")
    async with consumer(log, environment, session_us=10_000_000) as slow:
        assert await drained(slow) == [b"a"]
        environment.advance(10)
        async with consumer(log, environment) as other:
            assert len(other.assignment.partitions[TOPIC]) == 4  # pyright: ignore[reportOptionalMemberAccess]
            assert not await slow.commit()


async def test_who_is_heard_of_keeps_its_share(log: MemoryLog, environment: VirtualEnvironment) -> None:
    await append(log, b"a")
    async with consumer(log, environment, session_us=10_000_000) as busy:
        assert await drained(busy) == [b"a"]
        for _ in range(5):
            environment.advance(9)
            assert await busy.beat()
        assert await busy.commit()


async def test_waiting_keeps_the_share(log: MemoryLog, environment: VirtualEnvironment) -> None:
    async with consumer(log, environment, session_us=3_000_000) as reader:
        generation = reader.assignment.generation  # pyright: ignore[reportOptionalMemberAccess]
        waiting = asyncio.ensure_future(anext(reader))
        await passed(environment, 60)
        await append(log, b"a")
        assert (await waiting).position == 1
        assert await reader.commit()
        assert reader.assignment.generation == generation  # pyright: ignore[reportOptionalMemberAccess]


async def test_an_engine_that_was_started_again_is_joined_again(
    log: MemoryLog, environment: VirtualEnvironment
) -> None:
    await append(log, b"a", b"b")
    async with consumer(log, environment, limit_entries=1) as reader:
        await anext(reader)
        await reader.commit()
        await log.stop()
        with pytest.raises(Unavailable):
            await anext(reader)
        await log.start()
        assert not await reader.beat()
        assert (await anext(reader)).position == 2
        assert await reader.commit()
    assert await log.committed(GROUP, TOPIC) == {0: 2}


async def test_one_may_begin_at_the_end(log: MemoryLog, environment: VirtualEnvironment) -> None:
    await append(log, b"old")
    async with consumer(log, environment, begin="end") as reader:
        await append(log, b"new")
        assert await drained(reader) == [b"new"]


async def test_what_came_since_one_began_at_the_end_is_read_after_others_came(
    log: MemoryLog, environment: VirtualEnvironment
) -> None:
    async with consumer(log, environment, begin="end") as reader:
        async with consumer(log, environment, begin="end"):
            for partition in range(4):
                await append(log, b"%d" % partition, partition=partition)
        assert not await reader.beat()
        assert len(await drained(reader)) == 4


async def test_one_may_go_back_and_forth(log: MemoryLog, environment: VirtualEnvironment) -> None:
    await append(log, b"a", b"b", b"c")
    async with consumer(log, environment) as reader:
        await drained(reader)
        reader.seek(TOPIC, 0, 1)
        assert await drained(reader) == [b"b", b"c"]
        reader.seek(TOPIC, 0, 3)
        assert await drained(reader) == []
        with pytest.raises(InvalidArgument):
            reader.seek(TOPIC, 9, 0)


async def test_a_paused_partition_is_not_read(log: MemoryLog, environment: VirtualEnvironment) -> None:
    for partition in (0, 1):
        await append(log, b"%d" % partition, partition=partition)
    async with consumer(log, environment) as reader:
        reader.pause(TOPIC, 0)
        assert await drained(reader) == [b"1"]
        reader.resume(TOPIC, 0)
        assert await drained(reader) == [b"0"]


async def test_who_has_nothing_to_read_waits_and_is_heard_of(log: MemoryLog, environment: VirtualEnvironment) -> None:
    async with consumer(log, environment, session_us=3_000_000) as reader:
        for partition in range(4):
            reader.pause(TOPIC, partition)
        waiting = asyncio.ensure_future(anext(reader))
        await passed(environment, 30)
        assert [len(info.members) for info in await log.groups()] == [1]
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def gone(log: MemoryLog, environment: VirtualEnvironment) -> None:
    """Of five entries the first three went unread."""
    await append(log, b"a")
    async with consumer(log, environment, limit_entries=1) as reader:
        await anext(reader)
        await reader.commit()
    await append(log, b"b", b"c", b"d", b"e")
    await log.create_topic(TopicSpec(name=TOPIC, partitions=4, retention_bytes=2))
    await log.sweep(1_000)


async def test_entries_that_are_gone_unread_are_told(log: MemoryLog, environment: VirtualEnvironment) -> None:
    await gone(log, environment)
    async with consumer(log, environment) as reader:
        with pytest.raises(EntriesLost, match="2 entries of the partition 0") as caught:
            await drained(reader)
        assert "seek to 3" in str(caught.value.hint)
        reader.seek(TOPIC, 0, 3)
        assert await drained(reader) == [b"d", b"e"]


async def test_entries_that_are_gone_may_be_skipped(log: MemoryLog, environment: VirtualEnvironment) -> None:
    await gone(log, environment)
    async with consumer(log, environment, lost="skip") as reader:
        assert (await drained(reader), reader.skipped) == ([b"d", b"e"], 2)


async def test_a_commit_with_nothing_new_is_true(log: MemoryLog, environment: VirtualEnvironment) -> None:
    async with consumer(log, environment) as reader:
        assert await reader.commit()
        assert reader.applied().positions == []  # pyright: ignore[reportOptionalMemberAccess]


async def test_who_left_may_not_be_told_twice(log: MemoryLog, environment: VirtualEnvironment) -> None:
    reader = consumer(log, environment)
    async with reader:
        await reader.leave()
    await reader.leave()
    assert (reader.assignment, reader.applied(), await reader.beat()) == (None, None, False)


async def test_members_have_names_of_their_own(log: MemoryLog, environment: VirtualEnvironment) -> None:
    assert len({consumer(log, environment).member for _ in range(100)}) == 100


async def test_a_log_without_groups_is_refused(log: MemoryLog, environment: VirtualEnvironment) -> None:
    with pytest.raises(InvalidArgument, match="no groups"):
        Consumer(object(), GROUP, [TOPIC], environment)  # pyright: ignore[reportArgumentType]
