"""MovieLens as it happened: who rated what, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from soundstage.datasets.movielens import Film, Rating, User, films, ratings, users

BURST_MAX = 100
"""Ratings written in one call."""


class Burst(msgspec.Struct, frozen=True, gc=False):
    """What one person rated before anyone else did: people rate film after film, several in a second."""

    user_id: int
    ratings: list[Rating]


class History(msgspec.Struct, frozen=True):
    """The whole source; `ratings` in the order of time."""

    films: list[Film]
    users: list[User]
    ratings: list[Rating]

    def by_user(self) -> dict[int, list[Rating]]:
        """The ratings of each person, in the order of time."""
        found: dict[int, list[Rating]] = {user.user_id: [] for user in self.users}
        for rating in self.ratings:
            found[rating.user_id].append(rating)
        return found

    def bursts(self) -> Iterator[Burst]:
        """All ratings, in the order of time, a burst at a time; of at most `BURST_MAX` ratings."""
        for user_id, run in groupby(self.ratings, key=lambda rating: rating.user_id):
            burst = list(run)
            for start in range(0, len(burst), BURST_MAX):
                yield Burst(user_id, burst[start : start + BURST_MAX])


def read_history(folder: Path) -> History:
    """The history in the folder that `fetch("movielens-100k")` gave.

    The file is in no order, and many ratings have the same second: person and film settle those.
    """
    in_order = sorted(ratings(folder), key=lambda rating: (rating.rated_at, rating.user_id, rating.film_id))
    return History(list(films(folder)), list(users(folder)), in_order)
