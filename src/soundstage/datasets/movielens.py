"""MovieLens ML-100K as records: `fetch("movielens-100k")` gives the folder that these functions read.

The files are tab-separated UTF-8 with a header that names each column and its type. All three readers
stream in the order of the file (the ratings' order is not that of time) and raise `DataLoss` naming the
line that does not fit, `NotFound` when the file is not in the folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from soundstage.core.errors import DataLoss, NotFound
from soundstage.core.time import Instant

_RATING_COLUMNS = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
_FILM_COLUMNS = ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq")
_USER_COLUMNS = ("user_id:token", "age:token", "gender:token", "occupation:token", "zip_code:token")
_NS_PER_S = 1_000_000_000


class Rating(msgspec.Struct, frozen=True, gc=False):
    """One person gave one film 1 to 5 `stars` at `rated_at`, which is exact to the second."""

    user_id: int
    film_id: int
    stars: int
    rated_at: Instant


class Film(msgspec.Struct, frozen=True):
    """A film. `year` is None for the two whose year the source does not know; so may `genres` be empty."""

    film_id: int
    title: str
    year: int | None
    genres: tuple[str, ...]


class User(msgspec.Struct, frozen=True, gc=False):
    """A person, as they described themselves. `postal_code` may be Canadian, hence text."""

    user_id: int
    age: int
    gender: Literal["F", "M"]
    occupation: str
    postal_code: str


def ratings(folder: Path) -> Iterator[Rating]:
    """The 100,000 ratings; no person rates a film twice."""
    path = folder / "ml-100k.inter"
    for line, (user, film, stars, seconds) in _lines(path, _RATING_COLUMNS):
        try:
            yield Rating(int(user), int(film), int(stars), Instant(int(seconds) * _NS_PER_S))
        except ValueError as error:
            raise _misfit(path, line, str(error)) from error


def films(folder: Path) -> Iterator[Film]:
    """The 1,682 films; some titles occur under two ids."""
    path = folder / "ml-100k.item"
    for line, (film, title, year, genres) in _lines(path, _FILM_COLUMNS):
        try:
            yield Film(int(film), title, _year(year), tuple(genre for genre in genres.split(" ") if genre != "unknown"))
        except ValueError as error:
            raise _misfit(path, line, str(error)) from error


def users(folder: Path) -> Iterator[User]:
    """The 943 people."""
    path = folder / "ml-100k.user"
    for line, (user, age, gender, occupation, postal_code) in _lines(path, _USER_COLUMNS):
        if gender not in ("F", "M"):
            raise _misfit(path, line, f"{gender!r} is neither 'F' nor 'M'")
        try:
            yield User(int(user), int(age), gender, occupation, postal_code)
        except ValueError as error:
            raise _misfit(path, line, str(error)) from error


def _year(text: str) -> int | None:
    # Two of the source's rows hold something else, "V" and "unkonwn".
    return int(text) if len(text) == 4 and text.isdecimal() else None


def _lines(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    try:
        opened = path.open(encoding="utf-8", newline="\n")
    except FileNotFoundError as error:
        raise NotFound(f"{path} is not there", hint='pass the folder that fetch("movielens-100k") returns') from error
    with opened as file:
        try:
            for number, text in enumerate(file, start=1):
                cells = text.rstrip("\n").split("\t")
                if len(cells) != len(columns) or (number == 1 and tuple(cells) != columns):
                    raise _misfit(path, number, f"expected the columns {', '.join(columns)}")
                if number > 1:
                    yield number, cells
        except UnicodeDecodeError as error:
            raise DataLoss(f"{path} is not UTF-8: {error}") from error


def _misfit(path: Path, line: int, reason: str) -> DataLoss:
    return DataLoss(f"{path}, line {line}: {reason}", hint="delete the file and fetch the dataset again")
