"""Sizes in few numbers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.data.timeseries.partitioning.sketch import WITHIN, Sketch

SIZES = st.lists(st.integers(1, 2**40), min_size=1, max_size=200)


def sketch(values: list[int]) -> Sketch:
    found = Sketch()
    for value in values:
        found.add(value)
    return found


@given(SIZES, st.floats(0.01, 1.0))
def test_a_quantile_is_within_two_percent_of_the_value_of_its_rank(values: list[int], share: float) -> None:
    rank = max(1, -(-int(share * len(values) * 10**6) // 10**6))
    near = sorted(values)[max(0, rank - 2) : rank + 1]
    found = sketch(values).quantile(share)
    assert any(abs(found - value) <= WITHIN * value + 1 for value in near)


@given(SIZES, SIZES)
def test_sketches_add_up_to_the_one_of_all_values(some: list[int], others: list[int]) -> None:
    merged = sketch(some)
    merged.merge(sketch(others))
    assert merged == sketch(some + others)


@given(SIZES)
def test_every_value_is_in_one_power_of_two(values: list[int]) -> None:
    found = sketch(values)
    assert sum(found.by_powers_of_two().values()) == found.values == len(values)


def test_the_greatest_is_exact_and_no_quantile_exceeds_it() -> None:
    found = sketch([1_000_003] * 3)
    assert (found.greatest, found.quantile(1.0) <= 1_000_003) == (1_000_003, True)


def test_nothing_has_no_size() -> None:
    assert (Sketch().quantile(0.5), Sketch().by_powers_of_two()) == (0, {})


def test_sketches_do_not_share_their_counts() -> None:
    sketch([5])
    assert Sketch().values == 0


def test_a_sketch_of_anything_is_small() -> None:
    found = sketch([round(1.01**power) for power in range(4_000)])
    assert len(msgspec.msgpack.encode(found)) < 8_000


@pytest.mark.parametrize("value", [1, 2, 2**62])
def test_any_size_is_taken(value: int) -> None:
    assert sketch([value]).quantile(0.99) == pytest.approx(value, rel=WITHIN)
