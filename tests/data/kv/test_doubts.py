"""Writes that may still come, remembered by record."""

from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv.doubts import Doubts


@pytest.fixture
def doubts(environment: VirtualEnvironment) -> Doubts:
    return Doubts(environment, records_max=2)


def test_a_write_may_come_until_the_latest_that_was_said(doubts: Doubts) -> None:
    doubts.add(b"ada", 7)
    doubts.add(b"ada", 5)
    assert (doubts.until_us(b"ada"), doubts.until_us(b"other")) == (7, 0)


def test_what_is_past_makes_room(doubts: Doubts, environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    doubts.add(b"ada", now_us)
    doubts.add(b"eve", now_us + 5)
    doubts.add(b"bob", now_us + 3)
    assert [doubts.until_us(each) - now_us for each in (b"eve", b"bob")] == [5, 3]
    assert doubts.until_us(b"ada") == 0


def test_of_more_records_than_it_holds_any_may_be_written(doubts: Doubts, environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    for number, record in enumerate((b"ada", b"eve", b"bob"), 1):
        doubts.add(record, now_us + number)
    assert [doubts.until_us(each) - now_us for each in (b"ada", b"eve", b"bob", b"other")] == [2, 2, 3, 2]
