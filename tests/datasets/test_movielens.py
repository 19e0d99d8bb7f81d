from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from soundstage.core.errors import DataLoss, NotFound
from soundstage.core.time import Instant
from soundstage.datasets import movielens
from soundstage.datasets.movielens import Film, Rating, User

RATINGS = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
FILMS = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
USERS = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"

Reader = Callable[[Path], Iterator[object]]
FILES: dict[str, tuple[Reader, str, str]] = {
    "ml-100k.inter": (movielens.ratings, RATINGS, "196\t242\t3\t881250949\n"),
    "ml-100k.item": (movielens.films, FILMS, "1\tToy Story\t1995\tAnimation Children's Comedy\n"),
    "ml-100k.user": (movielens.users, USERS, "1\t24\tM\ttechnician\t85711\n"),
}
each_file = pytest.mark.parametrize("name", FILES)


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, "utf-8")
    return folder


def test_a_rating(tmp_path: Path) -> None:
    folder = write(tmp_path, "ml-100k.inter", f"{RATINGS}196\t242\t3\t881250949\n")
    rating = Rating(user_id=196, film_id=242, stars=3, rated_at=Instant(881_250_949_000_000_000))
    assert list(movielens.ratings(folder)) == [rating]


def test_the_time_of_a_rating_is_an_instant(tmp_path: Path) -> None:
    folder = write(tmp_path, "ml-100k.inter", f"{RATINGS}196\t242\t3\t881250949\n")
    assert type(next(movielens.ratings(folder)).rated_at) is Instant


@pytest.mark.parametrize(
    ("row", "film"),
    [
        (
            "1\tToy Story\t1995\tAnimation Children's Comedy",
            (1, "Toy Story", 1995, ("Animation", "Children's", "Comedy")),
        ),
        ("20\tAngels and Insects\t1995\tDrama Romance", (20, "Angels and Insects", 1995, ("Drama", "Romance"))),
        ("267\tunkonwn\tunkonwn\tunknown", (267, "unkonwn", None, ())),
        ("1412\tLand Before Time III\tV\tAnimation", (1412, "Land Before Time III", None, ("Animation",))),
        ("1633\tÁ köldum klaka (Cold Fever)\t1994\tDrama", (1633, "Á köldum klaka (Cold Fever)", 1994, ("Drama",))),
    ],
)
def test_a_film(tmp_path: Path, row: str, film: tuple[int, str, int | None, tuple[str, ...]]) -> None:
    folder = write(tmp_path, "ml-100k.item", f"{FILMS}{row}\n")
    assert list(movielens.films(folder)) == [Film(*film)]


def test_a_user(tmp_path: Path) -> None:
    folder = write(tmp_path, "ml-100k.user", f"{USERS}74\t39\tM\tscientist\tT8H1N\n")
    assert list(movielens.users(folder)) == [User(74, 39, "M", "scientist", "T8H1N")]


@each_file
def test_a_missing_file_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        list(FILES[name][0](tmp_path))
    assert 'fetch("movielens-100k")' in (caught.value.hint or "")


@each_file
def test_no_rows_are_no_records(tmp_path: Path, name: str) -> None:
    read, header, _ = FILES[name]
    assert list(read(write(tmp_path, name, header))) == []


@each_file
def test_another_header_is_data_loss(tmp_path: Path, name: str) -> None:
    read, header, row = FILES[name]
    with pytest.raises(DataLoss, match="line 1: expected the columns"):
        list(read(write(tmp_path, name, header.upper() + row)))


@each_file
def test_a_row_of_other_width_is_data_loss_at_its_line(tmp_path: Path, name: str) -> None:
    read, header, row = FILES[name]
    with pytest.raises(DataLoss, match=f"{name}, line 3"):
        list(read(write(tmp_path, name, f"{header}{row}{row.rstrip()}\textra\n")))


@each_file
def test_a_torn_last_row_is_data_loss(tmp_path: Path, name: str) -> None:
    read, header, row = FILES[name]
    with pytest.raises(DataLoss, match="line 3"):
        list(read(write(tmp_path, name, f"{header}{row}{row[:2]}")))


@each_file
def test_an_id_that_is_no_number_is_data_loss(tmp_path: Path, name: str) -> None:
    read, header, row = FILES[name]
    with pytest.raises(DataLoss, match="line 2: invalid literal"):
        list(read(write(tmp_path, name, f"{header}x{row}")))


def test_another_gender_than_the_files_is_data_loss(tmp_path: Path) -> None:
    folder = write(tmp_path, "ml-100k.user", f"{USERS}1\t24\tQ\ttechnician\t85711\n")
    with pytest.raises(DataLoss, match="neither 'F' nor 'M'"):
        list(movielens.users(folder))


@each_file
def test_bytes_that_are_no_utf8_are_data_loss(tmp_path: Path, name: str) -> None:
    read, header, _ = FILES[name]
    (tmp_path / name).write_bytes(header.encode() + b"\xff\xfe\n")
    with pytest.raises(DataLoss, match="not UTF-8"):
        list(read(tmp_path))


@each_file
def test_records_come_before_the_file_is_read_to_its_end(tmp_path: Path, name: str) -> None:
    read, header, row = FILES[name]
    (tmp_path / name).write_bytes((header + row * 2000).encode() + b"\xff")
    assert next(read(tmp_path)) is not None
