"""How long calls took: counts and quantiles."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.demo.measures import Measured, Stopwatch, quantile


@pytest.mark.parametrize(
    ("ordered", "share", "expected"),
    [
        ([], 0.5, 0),
        ([7], 0.5, 7),
        ([7], 0.99, 7),
        ([1, 2], 0.5, 1),
        ([1, 2, 3], 0.5, 2),
        (list(range(1, 101)), 0.5, 50),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 101)), 1.0, 100),
        (list(range(1, 11)), 0.99, 10),
        ([1, 2, 3], 0.0, 1),
    ],
)
def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(
    ordered: list[int], share: float, expected: int
) -> None:
    assert quantile(ordered, share) == expected


async def value(result: str) -> str:
    await asyncio.sleep(0)
    return result


async def failure() -> str:
    raise LookupError


async def test_a_measured_call_gives_its_result() -> None:
    assert await Stopwatch().of(value("x")) == "x"


async def test_calls_are_counted() -> None:
    watch = Stopwatch()
    for _ in range(3):
        await watch.of(value("x"))
    assert watch.measured().calls == 3


async def test_a_call_takes_time_and_the_slowest_no_less_than_the_middle() -> None:
    watch = Stopwatch()
    for _ in range(5):
        await watch.of(value("x"))
    measured = watch.measured()
    assert 0 < measured.p50_ms <= measured.p99_ms


async def test_a_failure_is_raised_and_not_counted() -> None:
    watch = Stopwatch()
    with pytest.raises(LookupError):
        await watch.of(failure())
    assert watch.measured().calls == 0


def test_no_calls_took_no_time() -> None:
    assert Stopwatch().measured() == Measured(0, 0.0, 0.0)
