"""Puts films and profiles where the demo reads them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from soundstage.client import Connection
from soundstage.core.errors import NotFound
from soundstage.data.kv import KeyValue
from soundstage.datasets.movielens import Film, Rating, User
from soundstage.demo.history import History
from soundstage.demo.lanes import in_lanes
from soundstage.demo.measures import Stopwatch
from soundstage.demo.records import NAMESPACES, PROFILES, TITLES, film_items, rating_items, user_items
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

LANES = 16


async def prepare(connection: Connection) -> None:
    """The demo's namespaces exist and are empty, whatever an earlier run left."""
    namespaces = connection.client(Namespaces)
    for name in NAMESPACES:
        with suppress(NotFound):
            await namespaces.delete(name=name)
        await namespaces.put(namespace=NamespaceSpec(name=name, abstraction="kv"))


async def load_titles(connection: Connection, history: History, done: Callable[[], None]) -> Stopwatch:
    """Every film is a record; `done` is called after each. Returns the times of the writes."""
    titles = connection.client(KeyValue, TITLES)
    watch = Stopwatch()

    async def put(film: Film) -> None:
        await watch.of(titles.put_items(id=str(film.film_id), items=film_items(film)))
        done()

    await in_lanes(history.films, LANES, put, lambda film: film.film_id)
    return watch


async def load_profiles(connection: Connection, history: History, done: Callable[[], None]) -> Stopwatch:
    """Every person is a record with all ratings of a life, in one write each; `done` is called after each."""
    profiles = connection.client(KeyValue, PROFILES)
    ratings: dict[int, list[Rating]] = history.by_user()
    watch = Stopwatch()

    async def put(user: User) -> None:
        items = user_items(user) + rating_items(ratings[user.user_id])
        await watch.of(profiles.put_items(id=str(user.user_id), items=items))
        done()

    await in_lanes(history.users, LANES, put, lambda user: user.user_id)
    return watch
