"""Plays the ratings as if they were happening, in the order of time.

For every burst the titles are read that the person is about to rate, what the profile holds of that stretch
of time, and the newest viewing so far; then the burst is written. Bursts of one person follow each other;
those of different people overlap, as they would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from soundstage.client import Connection
from soundstage.data.kv import KeyValue, MatchRange, Predicate, Selection
from soundstage.datasets.movielens import Rating
from soundstage.demo.history import Burst, History
from soundstage.demo.lanes import in_lanes
from soundstage.demo.measures import Measured, Stopwatch
from soundstage.demo.records import PROFILES, TITLES, VIEWINGS, rating_items, rating_key, ratings_of

LANES = 16

_NEWEST = Selection(item_limit=1, reverse=True)


class Played(msgspec.Struct, frozen=True):
    """What was played; `surprises` counts reads that did not show what had been written before them."""

    ratings: int
    bursts: int
    reads: Measured
    writes: Measured
    surprises: int


class Player:
    """Plays bursts and checks every read against the source."""

    def __init__(self, connection: Connection, history: History, done: Callable[[int], None]) -> None:
        self._titles = connection.client(KeyValue, TITLES)
        self._profiles = connection.client(KeyValue, PROFILES)
        self._viewings = connection.client(KeyValue, VIEWINGS)
        self._names = {film.film_id: film.title.encode() for film in history.films}
        self._newest: dict[int, Rating] = {}
        self._done = done
        self.reads: Stopwatch = Stopwatch()
        self.writes: Stopwatch = Stopwatch()
        self.bursts: int = 0
        self.surprises: int = 0

    async def play(self, burst: Burst) -> None:
        """One burst was read about and written."""
        shown = await asyncio.gather(self._shows_titles(burst), self._shows_profile(burst), self._shows_newest(burst))
        self.surprises += shown.count(False)
        items = rating_items(burst.ratings)
        await self.writes.of(self._viewings.put_items(id=str(burst.user_id), items=items))
        self._newest[burst.user_id] = burst.ratings[-1]
        self.bursts += 1
        self._done(len(burst.ratings))

    async def _shows_titles(self, burst: Burst) -> bool:
        wanted = [rating.film_id for rating in burst.ratings]
        reply = await self.reads.of(self._titles.batch_get_items(ids=[str(film_id) for film_id in wanted]))
        found = [{item.key: item.value for item in record.items}.get(b"title") for record in reply.records]
        return found == [self._names[film_id] for film_id in wanted]

    async def _shows_profile(self, burst: Burst) -> bool:
        stretch = MatchRange(start=rating_key(burst.ratings[0]), end=rating_key(burst.ratings[-1]), end_inclusive=True)
        id = str(burst.user_id)
        reply = await self.reads.of(self._profiles.get_items(id=id, predicate=Predicate(match_range=stretch)))
        return ratings_of(id, reply.items) == burst.ratings

    async def _shows_newest(self, burst: Burst) -> bool:
        id = str(burst.user_id)
        reply = await self.reads.of(self._viewings.get_items(id=id, selection=_NEWEST))
        newest = self._newest.get(burst.user_id)
        return ratings_of(id, reply.items) == ([] if newest is None else [newest])


async def play(connection: Connection, history: History, done: Callable[[int], None]) -> Played:
    """All ratings were played; `done` is called with the number of ratings after each burst."""
    player = Player(connection, history, done)
    await in_lanes(history.bursts(), LANES, player.play, lambda burst: burst.user_id)
    return Played(
        len(history.ratings), player.bursts, player.reads.measured(), player.writes.measured(), player.surprises
    )
