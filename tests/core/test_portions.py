"""Things are cut into portions of bounded size, in their order, and none is lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.portions import portions


@pytest.mark.parametrize(
    ("things", "count", "cut"),
    [
        ("", None, []),
        ("a", None, ["a"]),
        ("aab", None, ["aab"]),
        ("aaba", None, ["aab", "a"]),
        ("aad", None, ["aa", "d"]),
        ("da", None, ["d", "a"]),
        ("az", None, ["a", "z"]),
        ("zza", None, ["z", "z", "a"]),
        ("aaaaa", 2, ["aa", "aa", "a"]),
        ("ada", 2, ["a", "d", "a"]),
    ],
)
def test_a_portion_weighs_no_more_than_it_may_but_for_a_single_thing(
    things: str, count: int | None, cut: list[str]
) -> None:
    found = portions(things, lambda letter: ord(letter) - ord("a") + 1, 4, count)
    assert ["".join(portion) for portion in found] == cut


@given(st.lists(st.integers(0, 10)), st.integers(0, 20), st.none() | st.integers(1, 5))
def test_what_is_cut_is_all_there_in_order(things: list[int], most: int, count: int | None) -> None:
    found = list(portions(things, lambda thing: thing, most, count))
    assert [thing for portion in found for thing in portion] == things
    assert all(sum(portion) <= most or len(portion) == 1 for portion in found)
    assert all(len(portion) <= (count or len(things)) for portion in found)
    assert all(sum(one) + two[0] > most or len(one) == count for one, two in pairwise(found))
