"""What is written as items is read back as it was, and in the order of time."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from tests.demo.sample import NS_PER_S, film, rating, user

from soundstage.core.errors import DataLoss
from soundstage.core.message import IdempotencyToken
from soundstage.core.time import Instant
from soundstage.data.kv import Item, PutItem
from soundstage.data.kv.api import ItemMetadata
from soundstage.datasets.movielens import Film, Rating
from soundstage.demo.records import (
    film_items,
    film_of,
    rating_items,
    rating_key,
    ratings_of,
    user_items,
    user_of,
)

METADATA = ItemMetadata(token=IdempotencyToken(Instant(0), "t"), size=1)


def stored(items: Sequence[PutItem]) -> list[Item]:
    """The items as a record gives them: sorted by key."""
    return sorted(
        (Item(key=each.key, value=each.value, metadata=METADATA) for each in items), key=lambda item: item.key
    )


@pytest.mark.parametrize("year", [1995, None])
def test_a_film_is_read_as_written(year: int | None) -> None:
    written = film(year=year)
    assert film_of("1", stored(film_items(written))) == written


def test_a_film_of_no_genre_is_read_as_written() -> None:
    written = Film(3, "unkonwn", None, ())
    assert film_of("3", stored(film_items(written))) == written


def test_a_title_in_another_script_is_read_as_written() -> None:
    written = film(title="Á köldum klaka")
    assert film_of("1", stored(film_items(written))).title == "Á köldum klaka"


def test_a_person_is_read_as_written() -> None:
    assert user_of("7", stored(user_items(user()))) == user()


@pytest.mark.parametrize("gender", ["F", "M"])
def test_both_genders_are_read_as_written(gender: str) -> None:
    items = [each for each in stored(user_items(user())) if not each.key.endswith(b"gender")]
    items.append(Item(key=b"profile/gender", value=gender.encode(), metadata=METADATA))
    assert user_of("7", items).gender == gender


def test_ratings_are_read_as_written() -> None:
    written = [rating(film_id=number, second=number, stars=1 + number % 5) for number in range(20)]
    assert ratings_of("7", stored(rating_items(written))) == written


def test_who_a_person_is_is_not_taken_for_a_rating() -> None:
    assert ratings_of("7", stored(user_items(user()) + rating_items([rating()]))) == [rating()]


def test_ratings_are_not_taken_for_who_a_person_is() -> None:
    assert user_of("7", stored(user_items(user()) + rating_items([rating()]))) == user()


def in_order(each: Rating) -> tuple[int, int]:
    return (each.rated_at, each.film_id)


def test_keys_sort_as_times_do_and_films_within_a_second() -> None:
    source = random.Random(3)
    ratings = [rating(film_id=source.randrange(1_700), second=source.randrange(-(10**8), 10**8)) for _ in range(300)]
    assert sorted(ratings, key=rating_key) == sorted(ratings, key=in_order)


def test_ratings_come_before_who_a_person_is() -> None:
    last = Rating(7, 1, 5, Instant.parse("2224-12-31T00:00:00Z"))
    assert rating_key(last) < b"profile/"


def test_a_key_holds_time_and_film() -> None:
    key = rating_key(rating(film_id=258, second=0))
    assert (int.from_bytes(key[:8], "big") // NS_PER_S, key[8:]) == (874_724_710, b"\x00\x00\x01\x02")


@pytest.mark.parametrize("lost", ["title", "genres"])
def test_a_film_that_lacks_a_part_is_data_loss(lost: str) -> None:
    items = [each for each in stored(film_items(film())) if each.key != lost.encode()]
    with pytest.raises(DataLoss, match="the record 1 of movielens-titles is no film"):
        film_of("1", items)


def test_a_film_whose_year_is_no_number_is_data_loss() -> None:
    items = stored(film_items(film(year=None)))
    items.append(Item(key=b"year", value=b"soon", metadata=METADATA))
    with pytest.raises(DataLoss):
        film_of("1", items)


@pytest.mark.parametrize("lost", ["age", "gender", "occupation", "postal_code"])
def test_a_person_that_lacks_a_part_is_data_loss(lost: str) -> None:
    items = [each for each in stored(user_items(user())) if not each.key.endswith(lost.encode())]
    with pytest.raises(DataLoss, match="the record 7 of movielens-profiles is no profile"):
        user_of("7", items)
