"""Films and profiles are where the demo reads them, once, whatever was there before."""

from __future__ import annotations

from soundstage.client import Connection
from soundstage.data.kv import KeyValue, PutItem
from soundstage.demo.history import History
from soundstage.demo.loading import load_profiles, load_titles, prepare
from soundstage.demo.records import NAMESPACES, PROFILES, TITLES, film_of, ratings_of, user_of
from soundstage.runtime.namespaces import Namespaces


def nothing() -> None:
    """Nobody watches."""


async def test_the_namespaces_exist(connection: Connection) -> None:
    listed = await connection.client(Namespaces).list(abstraction="kv")
    assert {each.name for each in listed.namespaces} == set(NAMESPACES)


async def test_what_an_earlier_run_left_is_gone(connection: Connection) -> None:
    titles = connection.client(KeyValue, TITLES)
    await titles.put_items(id="old", items=[PutItem(key=b"title", value=b"x")])
    await prepare(connection)
    assert (await titles.get_items(id="old")).items == []


async def test_every_film_is_a_record(connection: Connection, history: History) -> None:
    await load_titles(connection, history, nothing)
    titles = connection.client(KeyValue, TITLES)
    read = [film_of(str(id), (await titles.get_items(id=str(id))).items) for id in (1, 2, 3)]
    assert read == history.films


async def test_every_person_is_a_record_with_the_ratings_of_a_life(connection: Connection, history: History) -> None:
    await load_profiles(connection, history, nothing)
    items = (await connection.client(KeyValue, PROFILES).get_items(id="7")).items
    assert (user_of("7", items), ratings_of("7", items)) == (history.users[0], history.by_user()[7])


async def test_a_person_who_rated_nothing_is_a_record_too(connection: Connection, history: History) -> None:
    await load_profiles(connection, history, nothing)
    items = (await connection.client(KeyValue, PROFILES).get_items(id="9")).items
    assert (user_of("9", items), ratings_of("9", items)) == (history.users[2], [])


async def test_each_record_is_told_and_timed(connection: Connection, history: History) -> None:
    told: list[int] = []
    films = await load_titles(connection, history, lambda: told.append(1))
    people = await load_profiles(connection, history, lambda: told.append(1))
    assert (films.measured().calls, people.measured().calls, len(told)) == (3, 3, 6)
