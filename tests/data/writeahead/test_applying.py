"""What a failure means for a set: whether it is tried again, and how long it waits."""

from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.core.time import Duration
from soundstage.data.writeahead.applying import APART_US, UNKNOWN_TRIES, is_passing, pause_us
from soundstage.data.writeahead.config import SystemConfig
from soundstage.data.writeahead.gates import Closed
from soundstage.data.writeahead.ledger import Status

DOWN = Unavailable("down")
CONFIG = SystemConfig(retry_for=Duration.parse("10s"), tries_max=7)
S = 1_000_000


def tried(tries: int) -> Status:
    return Status("shop", "pending", b"", 1, "t", 1, 1, 0, since_us=0, tries=tries)


def closed(until_us: int = 0) -> Closed:
    error = Closed("down")
    error.until_us = until_us
    return error


@pytest.mark.parametrize(
    ("error", "tries", "age_us", "again"),
    [
        (DOWN, 1, 0, True),
        (DOWN, 6, 0, True),
        (DOWN, 7, 0, False),
        (DOWN, 1, 10 * S - 1, True),
        (DOWN, 1, 10 * S, False),
        (closed(), 0, 10 * S - 1, True),
        (closed(), 7, 0, True),
        (closed(), 0, 10 * S, False),
        (NotFound("gone"), UNKNOWN_TRIES - 1, 0, True),
        (NotFound("gone"), UNKNOWN_TRIES, 0, False),
        (InvalidArgument("never"), 1, 0, False),
    ],
)
def test_a_set_is_tried_again_while_time_may_help(error: SoundstageError, tries: int, age_us: int, again: bool) -> None:
    assert is_passing(error, tried(tries), age_us, CONFIG) is again


def waits(error: SoundstageError, tries: int, crowd: int = 0) -> list[int]:
    environment = VirtualEnvironment()
    config = SystemConfig()
    return [pause_us(error, tried(tries), environment, config, crowd) for _ in range(200)]


@pytest.mark.parametrize(("tries", "most_us"), [(1, S // 2), (2, S), (5, 8 * S), (8, 60 * S), (1_000, 60 * S)])
def test_a_set_waits_half_to_all_of_a_time_that_doubles(tries: int, most_us: int) -> None:
    found = waits(DOWN, tries)
    assert most_us / 2 <= min(found) < most_us * 0.55
    assert most_us * 0.95 < max(found) <= most_us


def test_a_store_that_says_when_to_come_again_is_not_asked_before() -> None:
    assert min(waits(Unavailable("busy", retry_after_ms=7_000), 1)) >= 7 * S + S // 4


def test_a_set_whose_place_is_closed_waits_until_it_is_open() -> None:
    until_us = VirtualEnvironment().now_us() + 3 * S
    found = waits(closed(until_us), 1)
    assert min(found) >= 3 * S
    assert max(found) <= 3 * S + S // 2


def test_a_crowd_before_a_closed_place_comes_one_after_the_other() -> None:
    found = waits(closed(), 1, crowd=10_000)
    assert max(found) <= 10_000 * APART_US
    assert max(found) >= 0.9 * 10_000 * APART_US


def test_a_place_whose_time_is_over_is_asked_soon() -> None:
    assert min(waits(closed(5), 1)) >= 0
