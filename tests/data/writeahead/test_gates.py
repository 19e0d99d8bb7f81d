"""Places that failed: how long they are not asked, and who tries whether they are well."""

from __future__ import annotations

import pytest

from soundstage.core.errors import Unavailable
from soundstage.data.writeahead import gates
from soundstage.data.writeahead.config import SystemConfig
from soundstage.data.writeahead.gates import Closed, Gates

DOWN = Unavailable("the store is down")
S = 1_000_000


@pytest.fixture
def made() -> Gates:
    """Places stay closed for a quarter of a second at first, and for half a minute at most."""
    return Gates(SystemConfig())


def closed_until(made: Gates, now_us: int, place: str = "a") -> int | None:
    """Until when nobody may ask the place; None where one may, who then has asked."""
    try:
        made.enter(place, now_us)
    except Closed as closed:
        return closed.until_us
    return None


def test_a_place_is_open_to_all_at_first(made: Gates) -> None:
    assert [closed_until(made, 0) for _ in range(3)] == [None] * 3


def test_a_place_that_failed_is_closed_for_a_while(made: Gates) -> None:
    made.failed("a", DOWN, 0)
    assert closed_until(made, 0) == S // 4
    assert closed_until(made, S // 4 - 1) is not None
    assert closed_until(made, S // 4) is None


def test_other_places_stay_open(made: Gates) -> None:
    made.failed("a", DOWN, 0)
    assert closed_until(made, 0, "b") is None


def test_who_is_turned_away_is_told_what_had_failed(made: Gates) -> None:
    made.failed("a", DOWN, 0)
    with pytest.raises(Closed, match="the store is down") as caught:
        made.enter("a", 0)
    assert (caught.value.outcome, caught.value.retryable) == ("not_applied", True)


def test_one_at_a_time_tries_whether_the_place_is_well(made: Gates) -> None:
    made.failed("a", DOWN, 0)
    assert closed_until(made, S) is None
    assert closed_until(made, S) == S + S // 4


def test_a_place_that_passed_is_open_to_all(made: Gates) -> None:
    made.failed("a", DOWN, 0)
    made.enter("a", S)
    made.passed("a")
    assert [closed_until(made, S) for _ in range(3)] == [None] * 3


def test_a_place_that_fails_again_is_closed_for_twice_as_long(made: Gates) -> None:
    now_us, waits = 0, list[int]()
    for _ in range(10):
        made.failed("a", DOWN, now_us)
        until_us = closed_until(made, now_us)
        assert until_us is not None
        waits.append(until_us - now_us)
        now_us = until_us
        made.enter("a", now_us)
    assert waits == [S // 4 * min(2**number, 120) for number in range(10)]


def test_what_was_under_way_together_fails_once(made: Gates) -> None:
    for _ in range(5):
        made.failed("a", DOWN, 10)
    assert closed_until(made, 10) == 10 + S // 4


def test_another_may_try_when_the_one_before_found_out_nothing(made: Gates) -> None:
    made.failed("a", DOWN, 0)
    made.enter("a", S)
    made.left("a")
    assert closed_until(made, S) is None


def test_a_place_that_is_well_may_be_left(made: Gates) -> None:
    made.left("a")
    assert closed_until(made, 0) is None


def test_only_so_many_places_are_remembered(made: Gates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "PLACES_MAX", 2)
    for place in ("a", "b", "c"):
        made.failed(place, DOWN, 0)
    assert [closed_until(made, 0, place) is None for place in ("a", "b", "c")] == [True, False, False]
