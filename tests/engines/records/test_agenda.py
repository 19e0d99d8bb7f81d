"""What is forgotten when: nothing early, nothing twice, nothing that was cancelled."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from soundstage.core import version
from soundstage.engines.records.agenda import STALE_MAX, Agenda, Thing
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, TableSpec

SPEC = TableSpec(name="t", max_lag_us=1_000)
KEPT_US = SPEC.max_lag_us + IN_FLIGHT_MAX_US
NOW_US = 10 * KEPT_US
TOMBSTONE: Thing = (b"record", "all", b"")


def thing(number: int) -> Thing:
    return (b"record", "row", b"%d" % number)


def due(
    agenda: Agenda, now_us: int, floor_us: int | None = None, limit: int = 100, spec: TableSpec = SPEC
) -> list[Thing]:
    return [found for _, found in agenda.due(now_us, spec, floor_us, limit)]


@pytest.mark.parametrize(("later_us", "expected"), [(0, []), (1, [TOMBSTONE])])
def test_a_tombstone_is_due_when_no_older_write_can_arrive(later_us: int, expected: list[Thing]) -> None:
    agenda = Agenda()
    agenda.plan(TOMBSTONE, version.delete(NOW_US, "t"), SPEC)
    assert due(agenda, NOW_US + KEPT_US + later_us) == expected


def test_nothing_is_due_before_the_time_given() -> None:
    agenda = Agenda()
    agenda.plan(TOMBSTONE, version.delete(0, "t"), SPEC, not_before_us=NOW_US)
    assert due(agenda, NOW_US - 1) == []
    assert due(agenda, NOW_US) == [TOMBSTONE]


def test_the_longest_due_comes_first() -> None:
    agenda = Agenda()
    for number in (2, 0, 1):
        agenda.plan(thing(number), version.delete(number, "t"), SPEC)
    assert due(agenda, NOW_US) == [thing(0), thing(1), thing(2)]


def test_each_is_told_with_its_due_time() -> None:
    agenda = Agenda()
    agenda.plan(TOMBSTONE, version.delete(5, "t"), SPEC)
    assert agenda.due(NOW_US, SPEC, None, 1) == [(5 + KEPT_US + 1, TOMBSTONE)]


def test_no_more_are_told_than_asked_for() -> None:
    agenda = Agenda()
    for number in range(10):
        agenda.plan(thing(number), version.delete(number, "t"), SPEC)
    assert due(agenda, NOW_US, limit=3) == [thing(0), thing(1), thing(2)]


def test_what_is_held_by_the_floor_does_not_use_up_the_limit() -> None:
    agenda = Agenda()
    agenda.plan(thing(0), version.delete(50, "t"), SPEC)
    agenda.plan(thing(1), version.delete(10, "t"), SPEC, not_before_us=NOW_US)
    assert due(agenda, NOW_US, floor_us=20, limit=1) == [thing(1)]


@pytest.mark.parametrize(("floor_us", "count"), [(None, 1), (0, 0), (50, 0), (51, 1)])
def test_the_floor_holds_what_is_not_older(floor_us: int | None, count: int) -> None:
    agenda = Agenda()
    agenda.plan(TOMBSTONE, version.delete(50, "t"), SPEC)
    assert len(due(agenda, NOW_US, floor_us)) == count


def test_a_greater_lag_is_obeyed_by_what_was_planned_before() -> None:
    agenda = Agenda()
    agenda.plan(TOMBSTONE, version.delete(0, "t"), SPEC)
    wider = msgspec.structs.replace(SPEC, max_lag_us=NOW_US)
    assert due(agenda, KEPT_US + 1, spec=wider) == []


def test_a_put_that_is_live_is_not_due() -> None:
    agenda = Agenda()
    agenda.plan(thing(0), version.put(0, "t", b"", expires_us=NOW_US + 1), SPEC)
    assert due(agenda, NOW_US) == []


def test_what_was_cancelled_is_not_due() -> None:
    agenda = Agenda()
    agenda.plan(thing(0), version.delete(0, "t"), SPEC)
    agenda.plan(thing(1), version.delete(0, "t"), SPEC)
    agenda.cancel(thing(0))
    assert due(agenda, NOW_US) == [thing(1)]


def test_what_was_never_planned_can_be_cancelled() -> None:
    agenda = Agenda()
    agenda.cancel(thing(0))
    assert due(agenda, NOW_US) == []


def test_a_plan_takes_the_place_of_the_one_before() -> None:
    agenda = Agenda()
    agenda.plan(thing(0), version.delete(0, "t"), SPEC)
    agenda.plan(thing(0), version.delete(NOW_US, "t"), SPEC)
    assert due(agenda, NOW_US) == []
    assert due(agenda, NOW_US + KEPT_US + 1) == [thing(0)]


def test_a_plan_made_twice_is_due_once() -> None:
    agenda = Agenda()
    for _ in range(3):
        agenda.plan(thing(0), version.delete(0, "t"), SPEC)
    assert due(agenda, NOW_US) == [thing(0)]


def test_things_of_one_name_and_different_kinds_are_apart() -> None:
    agenda = Agenda()
    kinds: list[Thing] = [(b"r", "row", b"k"), (b"r", "range", b"k"), (b"r", "ledger", b"k"), (b"s", "row", b"k")]
    for each in kinds:
        agenda.plan(each, version.delete(0, "t"), SPEC)
    agenda.cancel(kinds[1])
    assert sorted(due(agenda, NOW_US)) == sorted([kinds[0], kinds[2], kinds[3]])


def test_what_is_cancelled_does_not_pile_up() -> None:
    agenda = Agenda()
    for number in range(20 * STALE_MAX):
        agenda.plan(thing(0), version.delete(number, "t"), SPEC)
    assert len(agenda._order) <= STALE_MAX + 3


def test_any_sequence_of_plans_and_cancellations_leaves_what_a_dictionary_would() -> None:
    agenda, random, planned = Agenda(), Random(3), dict[Thing, int]()
    for _ in range(5_000):
        each, time_us = thing(random.randrange(300)), random.randrange(500)
        if random.random() < 0.4:
            agenda.cancel(each)
            planned.pop(each, None)
        else:
            agenda.plan(each, version.delete(time_us, "t"), SPEC)
            planned[each] = time_us
    now_us = KEPT_US + 250
    expected = sorted((time_us, each) for each, time_us in planned.items() if time_us < 250)
    assert due(agenda, now_us, limit=1_000) == [each for _, each in expected]
