"""The queue of fire-and-forget writes: what it takes, what it gives, and how fast."""

from __future__ import annotations

from math import inf

import pytest
from tests.data.timeseries.conftest import NOW, S, event

from soundstage.core.errors import Exhausted
from soundstage.core.limits import CALL_MAX_ITEMS
from soundstage.data.timeseries.buffer import LEARNT_S, PER_SECOND_LEAST, ROW_BYTES, Buffer, Pace, Queued
from soundstage.data.timeseries.events import Record, records_of

MIB = 1 << 20


def some(count: int, size: int = 10, items: int = 1) -> list[Record]:
    values = {f"k{number}": bytes(size) for number in range(items)}
    return records_of([event(NOW + number, f"e{number}", "ada", **values) for number in range(count)], ())


def ids(batch: list[Queued]) -> list[bytes]:
    return [each.record.event_id for each in batch]


def test_what_came_first_is_given_first() -> None:
    buffer = Buffer()
    buffer.offer(some(5), MIB, None, 0)
    assert ids(buffer.take(3)) == [b"e0", b"e1", b"e2"]
    assert ids(buffer.take(inf)) == [b"e3", b"e4"]


def test_a_call_has_room_whole_or_not_at_all() -> None:
    buffer = Buffer()
    buffer.offer(some(10, size=1_000), 20_000, 100, 0)
    with pytest.raises(Exhausted) as refused:
        buffer.offer(some(10, size=1_000), 20_000, 100, 0)
    assert (buffer.events, buffer.taken, buffer.refused) == (10, 10, 10)
    # Some four of a thousand bytes and more have to go first, at a hundred in a second.
    assert 10 <= (refused.value.retry_after_ms or 0) <= 50
    assert refused.value.retryable


def test_an_empty_queue_takes_a_call_that_is_larger_than_its_room() -> None:
    buffer = Buffer()
    buffer.offer(some(10, size=1_000), 5_000, None, 0)
    assert buffer.events == 10


def test_what_is_being_written_takes_room_until_it_is_done() -> None:
    buffer = Buffer()
    buffer.offer(some(10, size=1_000), 12_000, None, 0)
    batch = buffer.take(inf)
    with pytest.raises(Exhausted):
        buffer.offer(some(10, size=1_000), 12_000, None, 0)
    buffer.done(batch, stored=True)
    assert (buffer.events, buffer.bytes, buffer.drained) == (0, 0, 10)


def test_items_count_with_what_they_take_in_memory() -> None:
    buffer = Buffer()
    buffer.offer(some(1, size=0, items=100), MIB, None, 0)
    assert 100 * ROW_BYTES < buffer.bytes < 150 * ROW_BYTES


def test_a_batch_is_no_larger_than_a_write_may_be() -> None:
    buffer = Buffer()
    for _ in range(3):
        buffer.offer(some(1, items=2_000), MIB, None, 0)
    assert sum(len(each.record.rows) for each in buffer.take(inf)) <= CALL_MAX_ITEMS
    buffer = Buffer()
    for _ in range(2):
        buffer.offer(some(3, size=MIB), 16 * MIB, None, 0)
    assert len(buffer.take(inf)) == 3


def test_what_is_put_back_comes_behind_the_others_and_is_counted_once() -> None:
    buffer = Buffer()
    buffer.offer(some(4), MIB, None, 0)
    buffer.put_back(buffer.take(2))
    batch = buffer.take(inf)
    assert ids(batch) == [b"e2", b"e3", b"e0", b"e1"]
    buffer.done(batch, stored=False)
    assert (buffer.events, buffer.taken, buffer.dropped) == (0, 4, 4)


def test_a_provisioned_pace_is_kept_and_nothing_is_saved_up() -> None:
    pace = Pace()
    assert pace.per_second(50, 0) == 50
    assert pace.pay(50, 1.0, 0) == 50
    pace.spend(50)
    assert pace.pay(50, 1.0, S // 2) == 25
    pace.spend(25)
    assert pace.pay(50, 1.0, 3_600 * S) == 50


def test_turns_that_take_twice_their_time_are_no_slower_for_it() -> None:
    pace, written = Pace(), 0
    for turn in range(500):
        events = int(pace.pay(5_000, 0.001, turn * 2 * S // 1_000))
        pace.spend(events)
        written += events
    assert written == pytest.approx(5_000, rel=0.01)


def test_a_slow_pace_comes_to_an_event_in_the_end() -> None:
    pace = Pace()
    pace.pay(2, 0.1, 0)
    pace.spend(1)
    turns = [pace.pay(2, 0.1, S // 10 * turn) >= 1 for turn in range(1, 20)]
    assert turns.index(True) in (8, 9)


def test_what_comes_is_followed_slowly_once_it_is_known() -> None:
    pace, known = Pace(), 0.0
    for second in range(600):
        pace.arrive(10_000, second * S)
        known = pace.per_second(None, second * S)
        assert (known == inf) == (second < LEARNT_S)
    assert known == pytest.approx(12_500, rel=0.05)
    for second in range(600, 605):
        pace.arrive(100_000, second * S)
    burst = pace.per_second(None, 605 * S)
    assert known < burst < 1.5 * known
    assert pace.per_second(None, 7_200 * S) == PER_SECOND_LEAST


def test_the_first_minute_is_not_held_against_the_next() -> None:
    pace = Pace()
    for second in range(20):
        pace.arrive(10_000, second * S)
    assert pace.per_second(None, 20 * S) == pytest.approx(12_500, rel=0.1)
