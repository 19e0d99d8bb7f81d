"""Conditions on rows, brought into the form that engines translate."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.tables.filters import (
    ALL,
    DEPTH_MAX,
    VALUES_MAX,
    Among,
    Both,
    Compare,
    Either,
    Filter,
    Missing,
    above,
    among,
    at_least,
    at_most,
    below,
    both,
    columns_of,
    either,
    equal,
    missing,
    normal,
    opposite,
    unequal,
)


@pytest.mark.parametrize(
    ("where", "same"),
    [
        (ALL, ALL),
        (equal("a", 1), Compare("a", "=", 1)),
        (opposite(equal("a", 1)), Compare("a", "!=", 1)),
        (opposite(unequal("a", 1)), Compare("a", "=", 1)),
        (opposite(below("a", 1)), Compare("a", ">=", 1)),
        (opposite(above("a", 1)), Compare("a", "<=", 1)),
        (opposite(at_most("a", 1)), Compare("a", ">", 1)),
        (opposite(at_least("a", 1)), Compare("a", "<", 1)),
        (opposite(opposite(equal("a", 1))), Compare("a", "=", 1)),
        (opposite(among("a", 1, 2)), Among("a", (1, 2), out=True)),
        (opposite(missing("a")), Missing("a", out=True)),
        (
            opposite(both(equal("a", 1), missing("b"))),
            Either((Compare("a", "!=", 1), Missing("b", out=True))),
        ),
        (
            opposite(either(equal("a", 1), opposite(equal("b", 2)))),
            Both((Compare("a", "!=", 1), Compare("b", "=", 2))),
        ),
    ],
    ids=str,
)
def test_a_filter_has_one_form_without_negations(where: Filter, same: Filter) -> None:
    assert normal(where) == same
    assert normal(same) == same


def deep(levels: int) -> Filter:
    where = equal("a", 1)
    for _ in range(levels):
        where = both(where)
    return where


@pytest.mark.parametrize(
    "where",
    [
        both(),
        either(),
        opposite(ALL),
        both(ALL),
        among("a"),
        among("a", *range(VALUES_MAX + 1)),
        equal("a", float("nan")),
        among("a", 1.0, float("nan")),
        deep(DEPTH_MAX + 1),
    ],
    ids=lambda where: type(where).__name__,
)
def test_what_says_nothing_or_too_much_is_refused(where: Filter) -> None:
    with pytest.raises(InvalidArgument) as refused:
        normal(where)
    assert refused.value.field == "where"


def test_a_filter_may_be_as_deep_and_as_long_as_it_says() -> None:
    assert normal(deep(DEPTH_MAX))
    assert normal(among("a", *range(VALUES_MAX)))


def test_the_columns_of_a_filter_are_all_that_it_asks_about() -> None:
    where = either(both(equal("a", 1), missing("b")), opposite(among("c", 1)), equal("a", 2))
    assert list(columns_of(where)) == ["a", "b", "c", "a"]
    assert list(columns_of(ALL)) == []
