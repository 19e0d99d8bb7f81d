"""Deleted ranges as rows: what they come to is a function of the set, whichever rows are kept of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core import version
from soundstage.core.errors import Exhausted
from soundstage.engines.records.cassandra.deletions import fragments_of, parse_row, plan, row_key
from soundstage.engines.records.port import TOMBSTONES_MAX, Cell, RangeDelete
from soundstage.engines.records.tombstones import covering
from soundstage.testing.records.examples import EXAMPLES

KEYS = [b"", b"a", b"b", b"c", b"d"]
cells = st.builds(version.delete, st.integers(1, 4), st.sampled_from(["x", "y"]))
ranges = st.builds(RangeDelete, st.sampled_from(KEYS), st.none() | st.sampled_from(KEYS), cells)


def deleted(start: bytes, end: bytes | None, at: int, token: str = "t") -> RangeDelete:
    return RangeDelete(start, end, version.delete(at, token))


@pytest.mark.parametrize("end", [b"b", b"", b"\xff" * 4_097, None])
def test_a_row_says_which_range_it_is(end: bytes | None) -> None:
    found = deleted(b"a\0", end, 5)
    assert parse_row(row_key(found), found.cell) == found


@EXAMPLES
@given(st.lists(ranges, max_size=8), st.none() | cells)
def test_the_rows_that_are_kept_hide_what_all_of_them_hid(steps: list[RangeDelete], tombstone: Cell | None) -> None:
    kept: dict[bytes, RangeDelete] = {}
    for step in steps:
        found = plan(list(kept.values()), [step], tombstone)
        for row in found.go:
            del kept[row_key(row)]
        kept.update({row_key(row): row for row in found.come})
    whole = fragments_of(steps, tombstone)
    assert fragments_of(kept.values(), tombstone) == whole


@EXAMPLES
@given(st.lists(ranges, max_size=6), st.lists(ranges, max_size=6))
def test_ranges_deleted_together_or_apart_come_to_the_same(before: list[RangeDelete], after: list[RangeDelete]) -> None:
    together = plan([], [*before, *after], None)
    apart = plan(list(plan([], before, None).come), after, None)
    assert together.fragments == apart.fragments


def test_a_row_that_a_later_one_covers_goes() -> None:
    old, new = deleted(b"b", b"c", 1), deleted(b"a", b"d", 2)
    assert plan([old], [new], None) == ((new,), [new], [old])


def test_a_row_of_which_something_is_left_stays() -> None:
    old, new = deleted(b"a", b"d", 1), deleted(b"b", b"c", 2)
    found = plan([old], [new], None)
    assert (found.come, found.go) == ([new], [])
    assert covering(found.fragments, b"a") == covering(found.fragments, b"c") == old.cell


def test_a_row_deleted_again_later_is_kept_in_its_place() -> None:
    old, new = deleted(b"a", b"d", 1), deleted(b"a", b"d", 2)
    assert plan([old], [new], None) == ((new,), [new], [])


def test_a_range_that_was_hidden_before_it_came_leaves_no_row() -> None:
    assert plan([deleted(b"a", b"d", 5)], [deleted(b"b", b"c", 2)], None).come == []


def test_under_a_later_delete_of_the_record_no_range_is_kept() -> None:
    old = deleted(b"a", b"b", 1)
    assert plan([old], [deleted(b"c", b"d", 2)], version.delete(9, "t")) == ((), [], [old])


def test_ranges_of_one_delete_that_touch_are_one_row() -> None:
    touching = [deleted(b"%04d" % number, b"%04d" % (number + 1), 1) for number in range(100)]
    assert plan([], touching, None).come == [deleted(b"0000", b"0100", 1)]


def test_a_range_of_nothing_is_no_row() -> None:
    assert plan([], [deleted(b"b", b"a", 1), deleted(b"a", b"a", 1)], None) == ((), [], [])


def test_more_separate_ranges_than_a_record_may_have_are_refused() -> None:
    separate = [deleted(b"%05d" % number, b"%05d\0" % number, 1) for number in range(TOMBSTONES_MAX + 1)]
    with pytest.raises(Exhausted):
        plan(separate[:-1], separate[-1:], None)
