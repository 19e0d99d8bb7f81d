"""The ratings are played in the order of time, and every read before a write is checked."""

from __future__ import annotations

import pytest
from tests.demo.sample import large, rating

from soundstage.client import Connection
from soundstage.data.kv import KeyValue, MatchAll, Predicate, PutItem
from soundstage.demo.history import History
from soundstage.demo.loading import load_profiles, load_titles
from soundstage.demo.playback import Played, play
from soundstage.demo.records import PROFILES, TITLES, VIEWINGS, rating_items, ratings_of


def nothing(count: int = 0) -> None:
    """Nobody watches."""


async def loaded(connection: Connection, history: History) -> None:
    await load_titles(connection, history, nothing)
    await load_profiles(connection, history, nothing)


async def played(connection: Connection, history: History) -> Played:
    await loaded(connection, history)
    return await play(connection, history, nothing)


async def test_all_ratings_are_written(connection: Connection, history: History) -> None:
    await played(connection, history)
    viewings = connection.client(KeyValue, VIEWINGS)
    found = {id: ratings_of(str(id), (await viewings.get_items(id=str(id))).items) for id in (7, 8, 9)}
    assert found == history.by_user()


async def test_each_burst_is_three_reads_and_a_write(connection: Connection, history: History) -> None:
    done = await played(connection, history)
    assert (done.ratings, done.bursts, done.reads.calls, done.writes.calls) == (5, 3, 9, 3)


async def test_what_was_written_before_is_read_without_surprise(connection: Connection) -> None:
    assert (await played(connection, large(people=20, each=30))).surprises == 0


async def test_every_rating_is_told(connection: Connection, history: History) -> None:
    await loaded(connection, history)
    told: list[int] = []
    await play(connection, history, told.append)
    assert sorted(told) == [1, 2, 2]


async def test_a_title_that_is_gone_is_a_surprise(connection: Connection, history: History) -> None:
    await loaded(connection, history)
    titles = connection.client(KeyValue, TITLES)
    await titles.delete_items(id="3", predicate=Predicate(match_all=MatchAll()))
    assert (await play(connection, history, nothing)).surprises == 1


@pytest.mark.parametrize("stars", [1, 4])
async def test_a_rating_that_differs_in_the_profile_is_a_surprise(
    connection: Connection, history: History, stars: int
) -> None:
    await loaded(connection, history)
    profiles = connection.client(KeyValue, PROFILES)
    await profiles.put_items(id="7", items=rating_items([rating(7, 1, 0, stars)]))
    assert (await play(connection, history, nothing)).surprises == 1


async def test_a_viewing_from_nowhere_is_a_surprise(connection: Connection, history: History) -> None:
    await loaded(connection, history)
    viewings = connection.client(KeyValue, VIEWINGS)
    await viewings.put_items(id="8", items=rating_items([rating(8, 3, -100)]))
    assert (await play(connection, history, nothing)).surprises == 1


async def test_a_title_of_another_name_is_a_surprise_to_all_who_rate_it(
    connection: Connection, history: History
) -> None:
    await loaded(connection, history)
    titles = connection.client(KeyValue, TITLES)
    await titles.put_items(id="1", items=[PutItem(key=b"title", value=b"Another")])
    assert (await play(connection, history, nothing)).surprises == 2
