"""Numbers with a unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument
from soundstage.core.quantity import parse_quantity

UNITS = {"g": 1, "kg": 1_000, "": 1}


def grams(text: str) -> int:
    return parse_quantity(text, UNITS, "weight", "5kg")


@pytest.mark.parametrize(
    ("text", "amount"),
    [("5g", 5), ("5", 5), ("1.5kg", 1_500), ("-2kg", -2_000), ("0.001kg", 1), ("0kg", 0), ("007g", 7)],
)
def test_it_is_exact_in_the_smallest_unit(text: str, amount: int) -> None:
    assert grams(text) == amount


@given(st.integers(-(10**15), 10**15), st.sampled_from(["g", "kg"]))
def test_every_whole_number_of_units_is_read(number: int, unit: str) -> None:
    assert grams(f"{number}{unit}") == number * UNITS[unit]


@pytest.mark.parametrize(
    "text", ["", "kg", "5 kg", "+5g", "5.g", ".5kg", "5,5g", "5e3g", "\u0665g", "5g\n", "1" * 20 + "g"]
)
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        grams(text)
    assert refused.value.hint == 'write one as "5kg"'


def test_an_unknown_unit_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match="'t', which is none of a weight") as refused:
        grams("5t")
    assert refused.value.hint == "units are g kg"


def test_a_missing_unit_is_said_to_be_missing() -> None:
    with pytest.raises(InvalidArgument, match="lacks a unit"):
        parse_quantity("5", {"g": 1}, "weight", "5kg")


def test_fractions_finer_than_the_smallest_unit_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="finer"):
        grams("0.0001kg")


def test_more_than_64_bits_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="beyond"):
        grams("9223372036854775807kg")


def test_the_least_of_64_bits_is_read() -> None:
    assert grams("-9223372036854775808g") == -(2**63)
