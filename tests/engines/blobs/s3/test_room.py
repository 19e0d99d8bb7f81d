"""How many bytes all blobs may still have is known without counting each time."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Exhausted, Unavailable
from soundstage.engines.blobs.port import ANY, Expectation, Usage
from soundstage.engines.blobs.s3.room import COUNTED_FOR_NS, Room


class Bucket:
    """What all blobs have, and how often it was counted."""

    def __init__(self, used: int = 0) -> None:
        self.used = used
        self.counted = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def count(self) -> Usage:
        self.counted += 1
        used = self.used
        await self.answers.wait()
        return Usage(1, used)


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


async def test_without_a_limit_nothing_is_counted(environment: VirtualEnvironment) -> None:
    bucket = Bucket(100)
    await Room(bucket.count, None, environment).check(ANY)
    assert bucket.counted == 0


async def test_a_count_is_trusted_for_a_minute(environment: VirtualEnvironment) -> None:
    bucket = Bucket(5)
    room = Room(bucket.count, 10, environment)
    await room.check(ANY)
    await room.check(ANY)
    assert bucket.counted == 1
    environment.advance(COUNTED_FOR_NS / 1e9 + 1)
    await room.check(ANY)
    assert bucket.counted == 2


async def test_what_is_put_and_what_is_coming_counts(environment: VirtualEnvironment) -> None:
    bucket = Bucket(5)
    room = Room(bucket.count, 10, environment)
    await room.check(ANY)
    room.put(3)
    bucket.used = 8
    with room.coming() as coming:
        coming.add(2)
        await room.check(ANY)
        coming.add(1)
        with pytest.raises(Exhausted):
            await room.check(ANY)
    await room.check(ANY)


async def test_before_a_refusal_all_is_counted_again(environment: VirtualEnvironment) -> None:
    bucket = Bucket(11)
    room = Room(bucket.count, None, environment)
    with pytest.raises(Exhausted):
        await room.check(Expectation(most_in_all=10))
    bucket.used = 9
    await room.check(Expectation(most_in_all=10))


async def test_a_put_that_broke_off_counts_no_more(environment: VirtualEnvironment) -> None:
    room = Room(Bucket(5).count, 10, environment)

    async def breaking() -> None:
        with room.coming() as coming:
            coming.add(100)
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await breaking()
    await room.check(ANY)


async def test_nobody_is_let_in_before_the_first_count_has_come_and_it_is_made_once(
    environment: VirtualEnvironment,
) -> None:
    bucket = Bucket(11)
    bucket.answers.clear()
    room = Room(bucket.count, 10, environment)
    checks = [asyncio.ensure_future(room.check(ANY)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (bucket.counted, [each.done() for each in checks]) == (1, [False] * 3)
    bucket.answers.set()
    outcomes = await asyncio.gather(*checks, return_exceptions=True)
    assert [type(each) for each in outcomes] == [Exhausted] * 3


async def test_a_count_that_failed_is_made_again(environment: VirtualEnvironment) -> None:
    bucket, failing = Bucket(11), [Unavailable("the server is away")]

    async def count() -> Usage:
        if failing:
            raise failing.pop()
        return await bucket.count()

    room = Room(count, 10, environment)
    with pytest.raises(Unavailable):
        await room.check(ANY)
    with pytest.raises(Exhausted):
        await room.check(ANY)


async def test_what_is_put_while_all_is_counted_is_not_forgotten(environment: VirtualEnvironment) -> None:
    bucket = Bucket(5)
    bucket.answers.clear()
    room = Room(bucket.count, 10, environment)
    check = asyncio.ensure_future(room.check(ANY))
    await asyncio.sleep(0)
    room.put(6)
    bucket.used = 11
    bucket.answers.set()
    with pytest.raises(Exhausted):
        await check
