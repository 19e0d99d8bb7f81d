"""A small MovieLens: files in the source's format, small enough to be gone through by eye."""

from __future__ import annotations

from pathlib import Path

from soundstage.core.time import Instant
from soundstage.datasets.movielens import Film, Rating, User
from soundstage.demo.history import History, read_history

NS_PER_S = 1_000_000_000
START_S = 874_724_710

FILMS = """\
item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq
1\tToy Story\t1995\tAnimation Children's Comedy
2\tGoldenEye\t1995\tAction Adventure Thriller
3\tunkonwn\tunkonwn\tunknown
"""

USERS = """\
user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token
7\t24\tM\ttechnician\t85711
8\t53\tF\tother\tT8H1N
9\t23\tM\twriter\t32067
"""

RATINGS = """\
user_id:token\titem_id:token\trating:float\ttimestamp:float
8\t2\t4\t874724720
7\t2\t3\t874724710
7\t1\t5\t874724710
8\t1\t1\t874724711
7\t3\t2\t874724800
"""
"""Out of order, as the source's are; person 9 has rated nothing."""


def write_sample(folder: Path) -> Path:
    """`folder` holds the sample as `fetch("movielens-100k")` would leave it."""
    for name, text in {"item": FILMS, "user": USERS, "inter": RATINGS}.items():
        (folder / f"ml-100k.{name}").write_text(text, "utf-8")
    return folder


def sample(folder: Path) -> History:
    return read_history(write_sample(folder))


def film(film_id: int = 1, title: str = "Toy Story", year: int | None = 1995) -> Film:
    return Film(film_id, title, year, ("Animation", "Comedy"))


def user(user_id: int = 7) -> User:
    return User(user_id, 24, "M", "technician", "85711")


def rating(user_id: int = 7, film_id: int = 1, second: int = 0, stars: int = 4) -> Rating:
    return Rating(user_id, film_id, stars, Instant((START_S + second) * NS_PER_S))


def large(people: int, each: int) -> History:
    """`people` who have rated `each` films, a film a second, in turns of up to ten."""
    films = [film(number, f"film {number}", 1_900 + number % 100) for number in range(1, each + 1)]
    ratings = [
        rating(person, turn * 10 + number + 1, second=(turn * people + person) * 10 + number, stars=1 + number % 5)
        for turn in range((each + 9) // 10)
        for person in range(1, people + 1)
        for number in range(min(10, each - turn * 10))
    ]
    return History(films, [user(person) for person in range(1, people + 1)], ratings)
