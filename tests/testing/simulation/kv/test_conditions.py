from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from tests.testing.simulation.kv.writes import RECORD, acknowledged, begun, delete, now, put

from soundstage.data.kv.api import Condition
from soundstage.testing.simulation.kv.conditions import NOBODY, check_accepted, check_refused
from soundstage.testing.simulation.kv.history import History
from soundstage.testing.simulation.kv.scene import Scene, token_at
from soundstage.testing.simulation.scenario import Divergence

ABSENT = Condition(key=b"k", absent=True)
EMPTY = Condition(absent=True)


class OfHistory:
    """As much of a scene as judging conditions needs."""

    def __init__(self, history: History) -> None:
        self.history = history


def may_pass(
    history: History, *conditions: Condition, time_us: int = 10, stamp_us: int | None = None, now_us: int = 1_000
) -> bool:
    """Whether a write of `time_us` may have passed under `conditions`, stamped `stamp_us`."""
    write = begun(history, put("w", time_us, b"w", conditional=True))
    scene = cast("Scene", OfHistory(history))
    try:
        check_accepted(scene, write, list(conditions), stamp_us or time_us, now(history, now_us))
    except Divergence:
        return False
    finally:
        history.record(RECORD).drop(write)
    return True


def may_fail(history: History, *conditions: Condition, now_us: int = 1_000) -> bool:
    """Whether a write may have been refused under `conditions`."""
    write = begun(history, put("w", 10, b"w", conditional=True))
    try:
        check_refused(cast("Scene", OfHistory(history)), write, list(conditions), now(history, now_us))
    except Divergence:
        return False
    finally:
        history.record(RECORD).drop(write)
    return True


def verdict(history: History, *conditions: Condition, stamp_us: int = 10, now_us: int = 1_000) -> tuple[bool, bool]:
    return may_pass(history, *conditions, stamp_us=stamp_us, now_us=now_us), may_fail(
        history, *conditions, now_us=now_us
    )


def test_what_is_absent_meets_a_condition_of_absence() -> None:
    assert verdict(History(), ABSENT) == (True, False)
    assert verdict(History(), EMPTY) == (True, False)


def test_what_is_there_fails_it() -> None:
    history = History()
    acknowledged(history, put("a", 5, b"k"))
    assert verdict(history, ABSENT) == (False, True)
    assert verdict(history, EMPTY) == (False, True)


def test_what_was_deleted_is_absent() -> None:
    history = History()
    acknowledged(history, put("a", 5, b"k"))
    acknowledged(history, delete("b", 6, b"k"))
    assert verdict(history, ABSENT, EMPTY) == (True, False)


@pytest.mark.parametrize(("now_us", "expected"), [(499, (False, True)), (500, (True, False))])
def test_what_has_expired_is_absent(now_us: int, expected: tuple[bool, bool]) -> None:
    history = History()
    acknowledged(history, put("a", 5, b"k", expires_us=500))
    assert verdict(history, ABSENT, now_us=now_us) == expected


def test_an_item_is_known_by_its_token() -> None:
    history = History()
    acknowledged(history, put("a", 5, b"k"))
    assert verdict(history, Condition(key=b"k", token=token_at(5, "a"))) == (True, False)
    for wrong in (token_at(5, "b"), token_at(4, "a"), NOBODY):
        assert verdict(history, Condition(key=b"k", token=wrong)) == (False, True)


def test_a_record_is_known_by_its_greatest_write_be_it_a_delete() -> None:
    history = History()
    acknowledged(history, put("a", 5, b"k"))
    acknowledged(history, delete("b", 6, b"l"))
    assert verdict(history, Condition(token=token_at(6, "b"))) == (True, False)
    assert verdict(history, Condition(token=token_at(5, "a"))) == (False, True)


def test_a_record_never_written_has_no_token() -> None:
    assert verdict(History(), Condition(token=NOBODY)) == (False, True)


def test_all_conditions_must_hold() -> None:
    history = History()
    acknowledged(history, put("a", 5, b"k"))
    there = Condition(key=b"k", token=token_at(5, "a"))
    assert verdict(history, there, Condition(key=b"l", absent=True)) == (True, False)
    assert verdict(history, there, EMPTY) == (False, True)


@pytest.mark.parametrize(("stamp_us", "right"), [(10, False), (100, False), (101, True), (102, False)])
def test_what_passes_is_stamped_after_what_was_there(stamp_us: int, right: bool) -> None:
    history = History()
    acknowledged(history, put("a", 100, b"l"))
    assert may_pass(history, ABSENT, time_us=10, stamp_us=stamp_us) is right


def test_what_passes_keeps_its_time_when_nothing_is_newer() -> None:
    history = History()
    acknowledged(history, put("a", 5, b"l"))
    assert may_pass(history, ABSENT, time_us=10, stamp_us=10)


def test_a_write_under_way_makes_both_outcomes_right() -> None:
    history = History()
    begun(history, put("a", 5, b"k"))
    assert verdict(history, ABSENT) == (True, True)


def test_condition_and_stamp_are_of_one_moment() -> None:
    history = History()
    begun(history, put("a", 500, b"k"))
    assert may_pass(history, ABSENT, time_us=10, stamp_us=10)
    assert not may_pass(history, ABSENT, time_us=10, stamp_us=501)


def test_where_batches_are_applied_in_part_stamps_are_judged() -> None:
    history = History()
    write = put("a", 500, b"k", b"l")
    write.sure_keys = {}
    begun(history, write)
    assert may_pass(history, ABSENT, time_us=10, stamp_us=10)
    assert may_pass(history, ABSENT, time_us=10, stamp_us=501)
    assert not may_pass(history, ABSENT, time_us=10, stamp_us=77)
    assert may_fail(history, ABSENT)


def test_one_condition_may_stand_without_a_list() -> None:
    history = History()
    write = begun(history, put("w", 10, b"w", conditional=True))
    scene = cast("Scene", OfHistory(history))
    check_accepted(scene, write, ABSENT, 10, now(history))
    with pytest.raises(Divergence, match="hold in all of 1 worlds"):
        check_refused(scene, write, ABSENT, now(history))


def test_several_conditions_are_told_when_they_cannot_have_held() -> None:
    history = History()
    acknowledged(history, put("a", 5, b"k"))
    write = begun(history, put("w", 10, b"w", conditional=True))
    conditions: Sequence[Condition] = [ABSENT]
    with pytest.raises(Divergence, match=r"was stamped 10 under .*in none of 1 worlds"):
        check_accepted(cast("Scene", OfHistory(history)), write, conditions, 10, now(history))
