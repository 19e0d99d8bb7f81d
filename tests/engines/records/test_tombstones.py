"""Range tombstones: at every key the greatest range over it, in as few fragments as there can be."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstage.core import version
from soundstage.core.errors import Exhausted
from soundstage.engines.records import tombstones
from soundstage.engines.records.port import TOMBSTONES_MAX, Cell, RangeDelete
from soundstage.engines.records.tombstones import Fragments
from soundstage.testing.records.examples import EXAMPLES

KEYS = [b"", b"\0", b"a", b"a\0", b"b", b"c", b"d", b"e", b"\xff", b"\xff\xff"]
OLD, NEW = version.delete(1, "a"), version.delete(2, "a")

keys = st.sampled_from(KEYS)
cells = st.builds(version.delete, st.integers(0, 4), st.sampled_from(["a", "b"]))
ranges = st.builds(RangeDelete, keys, st.none() | keys, cells)
MANY = settings(EXAMPLES, max_examples=300)


def added(deleted: list[RangeDelete], fragments: Fragments = ()) -> Fragments:
    for each in deleted:
        fragments = tombstones.add(fragments, each)
    return fragments


def greatest_over(deleted: list[RangeDelete], key: bytes) -> Cell | None:
    """The same, by looking at every range."""
    return max((cell for start, end, cell in deleted if start <= key and (end is None or key < end)), default=None)


@MANY
@given(st.lists(ranges, max_size=12))
def test_over_every_key_lies_the_greatest_range(deleted: list[RangeDelete]) -> None:
    fragments = added(deleted)
    assert [tombstones.covering(fragments, key) for key in KEYS] == [greatest_over(deleted, key) for key in KEYS]


@MANY
@given(st.lists(ranges, max_size=12))
def test_fragments_are_in_order_and_apart(deleted: list[RangeDelete]) -> None:
    fragments = added(deleted)
    assert all(each.end is None or each.start < each.end for each in fragments)
    assert all(one.end is not None and one.end <= other.start for one, other in pairwise(fragments))


@MANY
@given(st.lists(ranges, max_size=12))
def test_neighbours_of_one_tombstone_are_one_fragment(deleted: list[RangeDelete]) -> None:
    fragments = added(deleted)
    assert not any(one.end == other.start and one.cell == other.cell for one, other in pairwise(fragments))


@MANY
@given(st.lists(ranges, max_size=9), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(deleted: list[RangeDelete], chance: Random) -> None:
    shuffled = deleted + chance.choices(deleted, k=len(deleted)) if deleted else []
    chance.shuffle(shuffled)
    assert added(shuffled) == added(deleted)


@MANY
@given(st.lists(ranges, max_size=9), ranges)
def test_what_changes_nothing_gives_the_very_same_fragments(deleted: list[RangeDelete], new: RangeDelete) -> None:
    fragments = added([*deleted, new])
    assert tombstones.add(fragments, new) is fragments


@MANY
@given(st.lists(ranges, max_size=9), cells)
def test_a_deleted_record_leaves_what_is_newer(deleted: list[RangeDelete], partition: Cell) -> None:
    clipped = tombstones.clip(added(deleted), partition)
    for key in KEYS:
        before = greatest_over(deleted, key)
        assert tombstones.covering(clipped, key) == (before if before is not None and before > partition else None)


@MANY
@given(st.lists(ranges, max_size=9), cells, st.integers(0, 9))
def test_when_a_record_was_deleted_makes_no_difference(deleted: list[RangeDelete], partition: Cell, at: int) -> None:
    early = added(deleted[at:], tombstones.clip(added(deleted[:at]), partition))
    assert [tombstones.covering(tombstones.clip(early, partition), key) for key in KEYS] == [
        tombstones.covering(tombstones.clip(added(deleted), partition), key) for key in KEYS
    ]


@pytest.mark.parametrize(("start", "end"), [(b"a", b"a"), (b"b", b"a"), (b"", b"")])
def test_a_range_of_nothing_adds_nothing(start: bytes, end: bytes) -> None:
    fragments = added([RangeDelete(b"a", b"c", OLD)])
    assert tombstones.add(fragments, RangeDelete(start, end, NEW)) is fragments


def test_a_newer_range_within_an_older_one_makes_three() -> None:
    fragments = added([RangeDelete(b"a", b"e", OLD), RangeDelete(b"b", b"c", NEW)])
    assert fragments == (
        RangeDelete(b"a", b"b", OLD),
        RangeDelete(b"b", b"c", NEW),
        RangeDelete(b"c", b"e", OLD),
    )


def test_an_older_range_shows_on_both_sides_of_a_newer_one() -> None:
    fragments = added([RangeDelete(b"b", b"c", NEW), RangeDelete(b"a", None, OLD)])
    assert fragments == (RangeDelete(b"a", b"b", OLD), RangeDelete(b"b", b"c", NEW), RangeDelete(b"c", None, OLD))


def test_a_newer_range_over_all_leaves_itself() -> None:
    parts = [RangeDelete(key, key + b"\0", OLD) for key in (b"a", b"b", b"c", b"d")]
    assert added([*parts, RangeDelete(b"", None, NEW)]) == (RangeDelete(b"", None, NEW),)


def test_a_range_fills_the_gap_between_its_like() -> None:
    parts = [RangeDelete(b"a", b"b", OLD), RangeDelete(b"c", b"d", OLD), RangeDelete(b"b", b"c", OLD)]
    assert added(parts) == (RangeDelete(b"a", b"d", OLD),)


def test_a_range_that_grows_stays_one_fragment() -> None:
    fragments: Fragments = ()
    for number in range(1, 2_000):
        fragments = tombstones.add(fragments, RangeDelete(b"", b"%06d" % number, version.delete(number, "t")))
    assert len(fragments) == 1


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(None, None, None), (OLD, None, OLD), (None, OLD, OLD), (OLD, NEW, NEW), (NEW, OLD, NEW)],
)
def test_the_greater_of_two_tombstones_counts(one: Cell | None, other: Cell | None, expected: Cell | None) -> None:
    assert tombstones.greatest(one, other) == expected


def test_as_many_fragments_as_the_limit_are_taken() -> None:
    tombstones.check_count(tuple(RangeDelete(b"%d" % n, b"%d\0" % n, OLD) for n in range(TOMBSTONES_MAX)), 0, 0)


@pytest.mark.parametrize(("now_us", "wait_ms"), [(5_000_000, 655_001), (10**12, 1_000)])
def test_one_fragment_more_is_exhausted_until_the_oldest_is_forgotten(now_us: int, wait_ms: int) -> None:
    fragments = tuple(RangeDelete(b"%d" % n, b"%d\0" % n, NEW if n else OLD) for n in range(TOMBSTONES_MAX + 1))
    with pytest.raises(Exhausted) as refused:
        tombstones.check_count(fragments, 600_000_000, now_us)
    assert refused.value.hint
    assert refused.value.retry_after_ms == wait_ms
