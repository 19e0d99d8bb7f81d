"""The parts of the moving example, on a few ratings in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from examples.moving.moving import FILM, has, load, stars

from soundstage import Instant, Stage
from soundstage.data.kv import KeyValue
from soundstage.datasets.movielens import Rating
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec


@pytest.fixture
async def store() -> AsyncIterator[KeyValue]:
    async with Stage.open(data="memory:") as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="ratings", abstraction="kv"))
        yield stage.client(KeyValue, "ratings")


async def test_ratings_are_counted_with_their_stars(store: KeyValue) -> None:
    found = [Rating(user, film, 3, Instant(0)) for user in (1, 2) for film in (50, 51)]
    await load(store, found)
    assert await stars(store) == (4, 12)


async def test_a_rating_of_the_film_is_found(store: KeyValue) -> None:
    await load(store, [Rating(1, int(FILM), 5, Instant(0)), Rating(2, 7, 5, Instant(0))])
    assert (await has(store, "1"), await has(store, "2")) == (True, False)
