"""How many bytes all blobs may still have is known without counting each time."""

from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Exhausted
from soundstage.engines.blobs.port import ANY, Expectation, Usage
from soundstage.engines.blobs.s3.room import COUNTED_FOR_NS, Room


class Bucket:
    """What all blobs have, and how often it was counted."""

    def __init__(self, used: int = 0) -> None:
        self.used = used
        self.counted = 0

    async def count(self) -> Usage:
        self.counted += 1
        return Usage(1, self.used)


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
