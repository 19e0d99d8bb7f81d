"""The source in the order of time, and in bursts of one person."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.demo.sample import large, rating, user, write_sample

from soundstage.core.errors import NotFound
from soundstage.demo.history import BURST_MAX, Burst, History, read_history


def seconds(history: History) -> list[tuple[int, int]]:
    return [(each.user_id, each.film_id) for each in history.ratings]


def test_ratings_are_in_the_order_of_time_then_person_then_film(history: History) -> None:
    assert seconds(history) == [(7, 1), (7, 2), (8, 1), (8, 2), (7, 3)]


def test_films_and_people_are_all_there(history: History) -> None:
    assert [each.film_id for each in history.films] == [1, 2, 3]
    assert [each.user_id for each in history.users] == [7, 8, 9]


def test_a_person_without_ratings_has_an_empty_list(history: History) -> None:
    assert {user_id: len(found) for user_id, found in history.by_user().items()} == {7: 3, 8: 2, 9: 0}


def test_a_persons_ratings_are_in_the_order_of_time(history: History) -> None:
    assert [each.film_id for each in history.by_user()[7]] == [1, 2, 3]


def test_a_burst_is_what_one_person_rated_before_anyone_else_did(history: History) -> None:
    assert [(burst.user_id, len(burst.ratings)) for burst in history.bursts()] == [(7, 2), (8, 2), (7, 1)]


def test_a_long_run_is_cut_into_bursts_of_the_limit() -> None:
    run = [rating(film_id=number, second=number) for number in range(BURST_MAX * 2 + 1)]
    assert [len(burst.ratings) for burst in History([], [user()], run).bursts()] == [BURST_MAX, BURST_MAX, 1]


def test_bursts_together_are_the_history() -> None:
    history = large(people=3, each=25)
    assert [each for burst in history.bursts() for each in burst.ratings] == history.ratings


def test_no_ratings_are_no_bursts() -> None:
    assert list(History([], [], []).bursts()) == []


def test_a_burst_is_of_one_person() -> None:
    assert all(
        {each.user_id for each in burst.ratings} == {burst.user_id} for burst in large(people=4, each=12).bursts()
    )


@pytest.mark.parametrize("name", ["ml-100k.item", "ml-100k.user", "ml-100k.inter"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write_sample(tmp_path) / name).unlink()
    with pytest.raises(NotFound, match=name):
        read_history(tmp_path)


def test_a_burst_says_whose_it_is() -> None:
    assert Burst(7, [rating()]).user_id == 7
