"""What is read back equals the source, or the summary says that it differs."""

from __future__ import annotations

import pytest
from tests.demo.sample import film, large, rating

from soundstage.client import Connection
from soundstage.core.errors import DataLoss
from soundstage.data.kv import KeyValue, MatchAll, MatchKeys, Predicate, PutItem
from soundstage.demo.history import History
from soundstage.demo.loading import load_profiles, load_titles
from soundstage.demo.playback import play
from soundstage.demo.records import PROFILES, TITLES, VIEWINGS, film_items, rating_items, rating_key
from soundstage.demo.verification import Compared, checksum, compared, read_all, verify


def nothing(count: int = 0) -> None:
    """Nobody watches."""


async def performed(connection: Connection, history: History) -> None:
    await load_titles(connection, history, nothing)
    await load_profiles(connection, history, nothing)
    await play(connection, history, nothing)


async def differing(connection: Connection, history: History) -> set[str]:
    return {each.what for each in await verify(connection, history, nothing) if not each.equal}


async def test_what_was_played_equals_the_source(connection: Connection, history: History) -> None:
    await performed(connection, history)
    found = await verify(connection, history, nothing)
    assert [(each.what, each.records, each.equal) for each in found] == [
        ("titles", 3, True),
        ("profiles", 3, True),
        ("ratings in profiles", 5, True),
        ("ratings as played", 5, True),
    ]


async def test_both_checksums_of_what_is_equal_are_the_same(connection: Connection, history: History) -> None:
    await performed(connection, history)
    assert all(each.checksum == each.expected_checksum for each in await verify(connection, history, nothing))


async def test_each_record_is_told_once(connection: Connection, history: History) -> None:
    await performed(connection, history)
    told: list[int] = []
    await verify(connection, history, lambda: told.append(1))
    # Person 9 has no viewings, and so no record there.
    assert len(told) == 3 + 3 + 2


async def test_records_over_several_pages_are_put_together(connection: Connection) -> None:
    history = large(people=2, each=400)
    await load_profiles(connection, history, nothing)
    small = connection.client(KeyValue, PROFILES)
    value = b"x" * 60_000
    for number in range(60):
        await small.put_items(id="1", items=[PutItem(key=b"profile/%d" % number, value=value)])
    assert {id: len(items) for id, items in (await read_all(connection, PROFILES, nothing)).items()} == {
        "1": 400 + 4 + 60,
        "2": 400 + 4,
    }


async def test_a_title_that_changed_differs(connection: Connection, history: History) -> None:
    await performed(connection, history)
    await connection.client(KeyValue, TITLES).put_items(id="1", items=film_items(film(title="Another")))
    assert await differing(connection, history) == {"titles"}


async def test_a_film_too_many_differs(connection: Connection, history: History) -> None:
    await performed(connection, history)
    await connection.client(KeyValue, TITLES).put_items(id="99", items=film_items(film(99)))
    assert await differing(connection, history) == {"titles"}


async def test_a_person_who_is_gone_differs_with_the_ratings(connection: Connection, history: History) -> None:
    await performed(connection, history)
    gone = Predicate(match_all=MatchAll())
    await connection.client(KeyValue, PROFILES).delete_items(id="8", predicate=gone)
    assert await differing(connection, history) == {"profiles", "ratings in profiles"}


async def test_a_viewing_that_is_gone_differs(connection: Connection, history: History) -> None:
    await performed(connection, history)
    one = Predicate(match_keys=MatchKeys(keys=[rating_key(history.ratings[0])]))
    await connection.client(KeyValue, VIEWINGS).delete_items(id="7", predicate=one)
    assert await differing(connection, history) == {"ratings as played"}


async def test_other_stars_differ(connection: Connection, history: History) -> None:
    await performed(connection, history)
    await connection.client(KeyValue, VIEWINGS).put_items(id="7", items=rating_items([rating(7, 1, 0, stars=1)]))
    assert await differing(connection, history) == {"ratings as played"}


async def test_a_record_that_is_no_film_is_data_loss(connection: Connection, history: History) -> None:
    await performed(connection, history)
    await connection.client(KeyValue, TITLES).put_items(id="98", items=[PutItem(key=b"x", value=b"")])
    with pytest.raises(DataLoss, match="98"):
        await verify(connection, history, nothing)


def test_the_order_of_records_does_not_matter() -> None:
    films = [film(1), film(2, "Other")]
    assert compared("titles", films, reversed(films)).equal


def test_a_record_twice_is_not_a_record_once() -> None:
    assert not compared("titles", [film(1)], [film(1), film(1)]).equal


def test_numbers_and_checksums_of_both_sides_are_told() -> None:
    found = compared("titles", [film(1), film(2)], [film(1)])
    assert (found.records, found.expected, found.equal) == (1, 2, False)
    assert found.checksum != found.expected_checksum


def test_nothing_equals_nothing() -> None:
    empty = checksum([])
    assert compared("titles", [], []) == Compared("titles", 0, 0, empty, empty, True)


def test_a_checksum_depends_on_the_order() -> None:
    assert checksum([(1,), (2,)]) != checksum([(2,), (1,)])
