"""The rule: encoding, order, convergence, expiry and purge."""

from __future__ import annotations

from functools import reduce
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from soundstage.core import version
from soundstage.core.version import DELETE, PUT, TIME_MAX_US, Version

HOUR_US = 3_600_000_000

# Few distinct values, so that equal times and equal tokens are common.
times = st.integers(0, 5) | st.integers(0, TIME_MAX_US)
tokens = st.sampled_from(["a", "b", "ab", "é", "a\x01"]) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=16
)
payloads = st.binary(max_size=6)
expiries = st.just(0) | st.integers(0, 10) | st.integers(0, TIME_MAX_US)

puts = st.builds(Version, times, st.just(PUT), tokens, expiries, payloads, payloads)
deletes = st.builds(Version, times, st.just(DELETE), tokens, st.just(0), st.just(b""), st.just(b""))
versions = puts | deletes


def cell_of(found: Version) -> bytes:
    if found.kind == DELETE:
        return version.delete(found.time_us, found.token)
    return version.put(found.time_us, found.token, found.value, found.expires_us, found.metadata)


def order_of(found: Version) -> tuple[int, int, bytes, bytes]:
    """What `(time_us, kind, token, payload)` says, spelled out without the encoding."""
    payload = (
        found.expires_us.to_bytes(8, "big") + len(found.metadata).to_bytes(4, "big") + found.metadata + found.value
    )
    return found.time_us, found.kind, found.token.encode(), payload


@given(versions)
def test_splitting_a_cell_gives_the_version_back(found: Version) -> None:
    assert version.split(cell_of(found)) == found


@given(versions, versions)
@example(Version(1, PUT, "a", 0, b"", b""), Version(1, PUT, "a\x01", 0, b"", b""))
@example(Version(1, PUT, "z", 0, b"", b"z"), Version(1, DELETE, "a", 0, b"", b""))
@example(Version(255, PUT, "a", 0, b"", b""), Version(256, PUT, "a", 0, b"", b""))
def test_the_order_of_bytes_is_the_order_of_versions(one: Version, other: Version) -> None:
    assert (cell_of(one) < cell_of(other)) == (order_of(one) < order_of(other))


@given(versions, versions)
def test_different_versions_have_different_cells(one: Version, other: Version) -> None:
    assert (cell_of(one) == cell_of(other)) == (one == other)


@given(st.lists(versions, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_arrival_converges(found: list[Version], chance: Random) -> None:
    cells = [cell_of(each) for each in found]
    arrivals = cells + chance.choices(cells, k=len(cells))
    chance.shuffle(arrivals)
    assert reduce(max, arrivals) == cell_of(max(found, key=order_of))


@given(st.lists(versions, min_size=1, max_size=6), st.lists(deletes, max_size=3), times, st.randoms())
def test_liveness_is_a_function_of_the_set_of_cells(
    own: list[Version], covering: list[Version], now_us: int, chance: Random
) -> None:
    cells, tombstones = [cell_of(each) for each in own], [cell_of(each) for each in covering]
    before = version.is_live(max(cells), now_us, max(tombstones, default=None))
    chance.shuffle(cells)
    chance.shuffle(tombstones)
    assert version.is_live(reduce(max, cells), now_us, reduce(max, tombstones) if tombstones else None) == before


@given(versions)
def test_the_parts_read_alone_are_those_of_the_split(found: Version) -> None:
    cell = cell_of(found)
    assert version.time_us(cell) == found.time_us
    assert version.token(cell) == found.token
    assert version.expires_us(cell) == found.expires_us
    assert version.is_delete(cell) == (found.kind == DELETE)


@given(versions)
def test_the_parts_read_at_once_are_those_of_the_split(found: Version) -> None:
    cell = cell_of(found)
    time_us, token, expires_us, metadata, value_at = version.parts(cell)
    assert (time_us, token, expires_us, metadata) == (found.time_us, found.token, found.expires_us, found.metadata)
    assert cell[value_at:] == found.value


@given(puts)
def test_a_put_is_its_head_and_its_value(found: Version) -> None:
    head = version.put_head(found.time_us, found.token, found.expires_us, found.metadata)
    assert head + found.value == cell_of(found)


@given(versions, versions)
def test_identities_are_ordered_as_versions_are(one: Version, other: Version) -> None:
    first, second = version.identity(cell_of(one)), version.identity(cell_of(other))
    assert (first < second) == (order_of(one)[:3] < order_of(other)[:3])


@given(versions, times)
def test_a_restamped_cell_differs_in_its_time_only(found: Version, time_us: int) -> None:
    assert version.split(version.restamp(cell_of(found), time_us)) == found._replace(time_us=time_us)


def test_of_equal_times_a_delete_beats_a_put() -> None:
    assert version.delete(5, "a") > version.put(5, "z", b"\xff" * 9)


def test_a_later_put_beats_a_delete() -> None:
    assert version.put(6, "a", b"") > version.delete(5, "z")


def test_of_one_token_sent_twice_with_other_bytes_the_greater_bytes_win() -> None:
    assert max(version.put(5, "a", b"x"), version.put(5, "a", b"y")) == version.put(5, "a", b"y")


def test_a_value_may_hold_anything() -> None:
    assert version.split(version.put(1, "t", b"\0\0\xff", metadata=b"\0")).value == b"\0\0\xff"


@pytest.mark.parametrize(
    "cell",
    [
        b"",
        b"\0" * 8,
        version.delete(1, "token")[:-1],
        version.put(1, "token", b"", metadata=b"meta")[:-1],
        version.delete(1, "token").replace(b"\0", b"\1"),
        version.delete(1, "t")[:8] + b"\2" + version.delete(1, "t")[9:],
        version.delete(1, "t").replace(b"t", b"\xff"),
    ],
    ids=["empty", "no token", "cut payload", "cut metadata", "no end of token", "unknown kind", "token not UTF-8"],
)
def test_bytes_that_are_no_cell_are_refused(cell: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        version.split(cell)


def test_an_item_without_expiry_is_live() -> None:
    assert version.is_live(version.put(1, "t", b""), TIME_MAX_US)


@pytest.mark.parametrize(("now_us", "live"), [(99, True), (100, False), (101, False)])
def test_an_item_is_absent_from_the_microsecond_of_expiry_on(now_us: int, live: bool) -> None:
    assert version.is_live(version.put(1, "t", b"", expires_us=100), now_us) is live


def test_a_marker_is_never_live() -> None:
    assert not version.is_live(version.delete(1, "t"), 0)


@pytest.mark.parametrize(("tombstone_us", "live"), [(4, True), (5, False), (6, False)])
def test_a_tombstone_hides_what_is_not_newer(tombstone_us: int, live: bool) -> None:
    assert version.is_live(version.put(5, "z", b""), 5, version.delete(tombstone_us, "a")) is live


def test_an_expired_put_shadows_what_is_older() -> None:
    older, expired = version.put(1, "t", b""), version.put(2, "t", b"", expires_us=10)
    assert not version.is_live(max(older, expired), 11)


def test_the_horizon_leaves_room_for_late_writes() -> None:
    assert version.purge_horizon_us(10 * HOUR_US, HOUR_US, 60_000_000, None) == 9 * HOUR_US - 60_000_000


def test_a_held_floor_stops_the_horizon() -> None:
    assert version.purge_horizon_us(10 * HOUR_US, HOUR_US, 60_000_000, 0) == 0


def test_a_floor_above_the_horizon_changes_nothing() -> None:
    assert version.purge_horizon_us(10 * HOUR_US, HOUR_US, 0, 20 * HOUR_US) == 9 * HOUR_US


@pytest.mark.parametrize(("time_us", "due"), [(99, True), (100, False), (101, False)])
def test_a_marker_is_purged_only_below_the_horizon(time_us: int, due: bool) -> None:
    assert version.is_purgeable(version.delete(time_us, "t"), 1_000, 100) is due


def test_an_expired_put_is_purged_below_the_horizon() -> None:
    assert version.is_purgeable(version.put(50, "t", b"", expires_us=60), 1_000, 100)


def test_an_expired_put_at_the_horizon_stays() -> None:
    assert not version.is_purgeable(version.put(100, "t", b"", expires_us=110), 1_000, 100)


@pytest.mark.parametrize("expires_us", [0, 1_001])
def test_a_live_put_is_never_purged(expires_us: int) -> None:
    assert not version.is_purgeable(version.put(50, "t", b"", expires_us=expires_us), 1_000, 100)


@given(versions, st.integers(0, 1_000), st.integers(0, 1_000), st.integers(0, 100), st.none() | st.integers(0, 1_000))
def test_a_purge_never_lets_an_acceptable_write_resurrect(
    hidden: Version, now_us: int, max_lag_us: int, in_flight_us: int, floor_us: int | None
) -> None:
    horizon_us = version.purge_horizon_us(now_us, max_lag_us, in_flight_us, floor_us)
    tombstone = version.delete(min(hidden.time_us, 1_000), "t")
    oldest_acceptable_us = now_us - max_lag_us - in_flight_us
    if version.is_purgeable(tombstone, now_us, horizon_us):
        assert version.time_us(tombstone) < oldest_acceptable_us


@given(versions)
def test_a_cell_lasts_if_it_is_a_put_without_an_expiry(found: Version) -> None:
    cell = cell_of(found)
    assert version.is_lasting(cell, len(version.identity(cell))) == (found.kind == PUT and not found.expires_us)
