"""The parts of the ratings log, on a few ratings in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from examples.ratings_log.ratings_log import PARTITIONS, TOPIC, Tally, append, since, work

from soundstage import Instant, Stage
from soundstage.datasets.movielens import Rating
from soundstage.engines.log.consumer import Batch, Consumer
from soundstage.engines.log.port import Log, Stored, TopicSpec

FOUND = [Rating(user, film, 4, Instant((10 * user + film) * 10**9)) for user in (2, 1, 3) for film in (1, 2)]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage.open(data="memory:") as stage:
        await stage.log().create_topic(TopicSpec(name=TOPIC, partitions=PARTITIONS))
        yield stage


@pytest.fixture
def log(stage: Stage) -> Log:
    return stage.log()


async def test_ratings_of_a_person_are_in_one_partition_in_the_order_of_time(log: Log) -> None:
    assert await append(log, FOUND) == 6
    places: dict[bytes | None, set[int]] = {}
    for partition in range(PARTITIONS):
        entries = (await log.read(TOPIC, partition, 0)).entries
        assert [entry.time_us for entry in entries] == sorted(entry.time_us for entry in entries)
        for entry in entries:
            places.setdefault(entry.key, set()).add(partition)
    assert [len(each) for each in places.values()] == [1, 1, 1]


async def test_a_member_tallies_all_of_its_share(stage: Stage, log: Log) -> None:
    await append(log, FOUND)
    tally = Tally()
    async with Consumer(log, "tally", [TOPIC], stage.environment) as member:
        await work(member, tally)
    assert (len(tally.stars), sum(tally.stars.values()), tally.again) == (6, 24, 0)
    assert sum((await log.committed("tally", TOPIC)).values()) == 6  # pyright: ignore[reportAttributeAccessIssue]


def test_a_rating_that_is_read_again_counts_once() -> None:
    tally = Tally()
    for _ in range(2):
        tally.apply(Batch("t", 0, [Stored(7, 1, b"1", b"5")], 8))
    assert (tally.stars, tally.again) == ({(0, 7): 5}, 1)


@pytest.mark.parametrize(("second", "count"), [(0, 6), (12, 5), (33, 0), (32, 1)])
async def test_ratings_are_counted_from_a_time_on(log: Log, second: int, count: int) -> None:
    await append(log, FOUND)
    assert await since(log, Instant(second * 10**9)) == count
