"""The watch list keeps the newest viewings, whatever the order in which they are reported."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from examples.watchlist.watchlist import Viewing, WatchList

from soundstage import Instant, Stage
from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv import KeyValue
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

NOW = Instant(VirtualEnvironment().now_ns())


def viewing(minute: int) -> Viewing:
    return Viewing(Instant(minute * 60_000_000_000), f"title-{minute}")


@pytest.fixture
async def watched() -> AsyncIterator[WatchList]:
    async with Stage.open(data="memory:", environment=VirtualEnvironment()) as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="viewings", abstraction="kv"))
        yield WatchList(stage.client(KeyValue, "viewings"), keep=3)


async def test_the_newest_come_first(watched: WatchList) -> None:
    for minute in (2, 1, 3):
        await watched.add("ada", viewing(minute), NOW)
    assert await watched.newest("ada", 2) == [viewing(3), viewing(2)]


async def test_the_newest_are_kept_and_older_ones_forgotten(watched: WatchList) -> None:
    for minute in (5, 1, 4, 2, 3):
        await watched.add("ada", viewing(minute), NOW)
    assert await watched.newest("ada", 10) == [viewing(5), viewing(4), viewing(3)]


async def test_a_viewing_reported_twice_is_there_once(watched: WatchList) -> None:
    for _ in range(2):
        await watched.add("ada", viewing(1), NOW)
    assert await watched.newest("ada", 10) == [viewing(1)]


async def test_profiles_do_not_see_each_other(watched: WatchList) -> None:
    await watched.add("ada", viewing(1), NOW)
    assert await watched.newest("grace", 10) == []
