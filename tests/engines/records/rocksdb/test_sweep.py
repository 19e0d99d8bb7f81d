from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.engines.records.rocksdb.store import Store

from soundstage.core.errors import Unavailable
from soundstage.engines.records.port import Span
from soundstage.engines.records.rocksdb import sweep as module
from soundstage.engines.records.rocksdb.rowkeys import parse_due
from soundstage.testing.model import Put
from soundstage.testing.records.bench import KEPT_US, MARKER_MAX_US, RECORD

LONG_AGO = -100 * KEPT_US


async def many_deletes(store: Store, count: int = 50, record: bytes = RECORD) -> None:
    """`count` range tombstones apart from each other, all due together."""
    await asyncio.gather(
        *(
            store.delete_range(b"%04d" % (2 * number), b"%04d" % (2 * number + 1), at=number, record=record)
            for number in range(count)
        )
    )


async def test_what_is_due_goes_with_its_entry(store: Store) -> None:
    await store.delete(b"key", at=0)
    store.advance(store.kept_us)
    assert await store.sweep() == 1
    assert (len(store.stored()), store.due()) == (1, {})


async def test_nothing_goes_before_it_is_due(store: Store) -> None:
    await store.delete_all(at=0)
    store.advance(KEPT_US)
    before = store.stored(), store.due()
    assert await store.sweep() == 0
    assert (store.stored(), store.due()) == before


async def test_the_backlog_and_the_oldest_of_it_are_told(store: Store) -> None:
    await many_deletes(store)
    store.advance(KEPT_US + 100)
    swept = await store.rocks.sweep(20)
    assert (swept.purged, swept.backlog) == (20, 30)
    assert swept.oldest_due_us == parse_due(min(store.due()))[0]


async def test_the_backlog_is_counted_so_far_and_no_further(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKLOG_MAX", 10)
    await many_deletes(store)
    store.advance(KEPT_US + 100)
    swept = await store.rocks.sweep(5)
    assert (swept.purged, swept.backlog) == (5, 10)


async def test_entries_that_mean_nothing_any_more_cost_no_budget(store: Store) -> None:
    for number in range(50):
        await store.delete_range(b"", b"%04d" % number, at=number)
    await store.delete(b"zzz", at=60)
    assert len(store.due()) == 51
    store.advance(store.kept_us + 100)
    swept = await store.rocks.sweep(2)
    assert (swept.purged, swept.backlog) == (2, 0)
    assert store.due() == {}


async def test_of_entries_that_mean_nothing_a_sweep_passes_so_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PASSED_MAX", 10)
    for number in range(50):
        await store.delete_range(b"", b"%04d" % number, at=number)
    store.advance(KEPT_US + 100)
    for left in (40, 30, 20, 10):
        await store.rocks.sweep(100)
        assert len(store.due()) == left


# -- every table gets its turn


async def test_a_table_with_much_to_do_does_not_keep_others_waiting(store: Store) -> None:
    await many_deletes(store)
    first, store.spec = store.spec, await store.add_table("kv/second")
    await store.delete_all(at=0)
    store.advance(KEPT_US + 100)
    for _ in range(2):
        await store.rocks.sweep(10)
    left = {parse_due(entry)[1][:4] for entry in store.due()}
    assert left == {store.catalogue.by_name[first.name].number}


async def test_a_table_that_is_held_does_not_keep_others_waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PASSED_MAX", 10)
    await many_deletes(store)
    await store.rocks.set_purge_floor(store.spec.name, 0)
    store.spec = await store.add_table("kv/second")
    await store.delete_all(at=0)
    store.advance(KEPT_US + 100)
    swept = await store.rocks.sweep(10)
    assert (swept.purged, swept.backlog, swept.oldest_due_us) == (1, 0, None)


@pytest.mark.parametrize("floor", [0, 10])
async def test_what_a_floor_holds_goes_as_soon_as_it_is_lifted(store: Store, floor: int) -> None:
    await many_deletes(store)
    await store.rocks.set_purge_floor(store.spec.name, floor and store.at(floor))
    store.advance(KEPT_US + 100)
    assert await store.sweep() == floor
    await store.rocks.set_purge_floor(store.spec.name, None)
    assert await store.sweep() == 50 - floor


async def test_a_floor_is_kept_over_a_restart(store: Store) -> None:
    await store.delete_all(at=0)
    await store.rocks.set_purge_floor(store.spec.name, 0)
    await store.reopen()
    store.advance(KEPT_US + 1)
    assert await store.sweep() == 0


async def test_a_greater_lag_holds_what_was_planned_with_the_lesser(store: Store) -> None:
    await store.delete_all(at=0)
    spec = msgspec.structs.replace(store.spec, max_lag_us=2 * store.spec.max_lag_us)
    await store.rocks.create_table(spec)
    store.advance(KEPT_US + 1)
    assert await store.sweep() == 0
    store.advance(store.spec.max_lag_us)
    assert await store.sweep() == 1


async def test_a_lesser_lag_is_obeyed_for_what_comes(store: Store) -> None:
    spec = msgspec.structs.replace(store.spec, max_lag_us=1_000)
    await store.rocks.create_table(spec)
    await store.delete_all(at=0)
    store.advance(60_001_001)
    assert await store.sweep() == 1


# -- going on where the last sweep ended


async def test_a_sweep_goes_on_where_the_last_one_ended(store: Store) -> None:
    await many_deletes(store)
    planned = sorted(store.due())
    store.advance(KEPT_US + 25)
    await store.sweep()
    assert planned[24] < store.table.due_from <= planned[25] == min(store.due())


async def test_a_write_from_long_ago_is_swept_though_it_is_due_before_what_was_passed(store: Store) -> None:
    await store.delete_all(at=0)
    store.advance(KEPT_US + 1)
    await store.sweep()
    await store.delete_all(at=LONG_AGO, record=b"other")
    assert await store.sweep() == 1


async def test_a_write_from_long_ago_during_a_sweep_is_swept_by_the_next(store: Store) -> None:
    await many_deletes(store, 200)
    store.advance(KEPT_US + 1_000)
    store.environment.tick_ns = 500_000
    sweeping = asyncio.ensure_future(store.rocks.sweep(10_000))
    await asyncio.sleep(0)
    assert not sweeping.done()
    await store.delete_all(at=LONG_AGO, record=b"other")
    await sweeping
    await store.sweep()
    assert store.due() == {}


async def test_everything_is_swept_after_a_restart(store: Store) -> None:
    await many_deletes(store)
    store.advance(KEPT_US + 25)
    await store.sweep()
    await store.reopen()
    store.advance(1_000)
    await store.sweep()
    assert store.due() == {}


# -- tombstones go after what they hide


async def hide(store: Store, kind: str, count: int = 300) -> None:
    """`count` rows, and a tombstone over them that arrives after something newer, so that they are still there."""
    await store.send(store.write(at=0, puts={b"key-%04d" % number: Put(b"value") for number in range(count)}))
    await store.put(b"newer", b"value", at=10)
    if kind == "record":
        await store.delete_all(at=5)
    else:
        await store.delete_range(b"key", b"key~", at=5)


@pytest.mark.parametrize("kind", ["record", "range"])
async def test_what_a_tombstone_hides_goes_with_it(store: Store, kind: str) -> None:
    await hide(store, kind)
    store.advance(KEPT_US + 10)
    await store.sweep()
    assert await store.values() == {b"newer": b"value"}
    assert len(store.stored()) == 2


@pytest.mark.parametrize("kind", ["record", "range"])
async def test_a_tombstone_stays_until_all_that_it_hides_is_gone(store: Store, kind: str) -> None:
    await hide(store, kind)
    store.advance(KEPT_US + 10)
    store.environment.tick_ns = 100_000
    rounds = 0
    while store.due():
        await store.rocks.sweep(1)
        rounds += 1
        assert await store.values() == {b"newer": b"value"}
    assert rounds > 5


async def test_a_tombstone_hides_again_after_a_restart_amid_its_clearing(store: Store) -> None:
    await hide(store, "record")
    store.advance(KEPT_US + 10)
    store.environment.tick_ns = 100_000
    await store.rocks.sweep(1)
    await store.reopen()
    assert await store.values() == {b"newer": b"value"}
    await store.sweep()
    assert len(store.stored()) == 2


async def test_a_tombstone_that_was_surpassed_leaves_its_successor(store: Store) -> None:
    await store.delete_all(at=0, token="first")
    await store.delete_all(at=100, token="second")
    store.advance(KEPT_US + 1)
    assert await store.sweep() == 0
    await store.put(b"key", b"late", at=50)
    assert await store.values() == {}


async def test_a_marker_that_was_written_over_leaves_what_is_there(store: Store) -> None:
    await store.delete(b"key", at=0)
    await store.put(b"key", b"value", at=1)
    store.advance(store.kept_us)
    await store.sweep()
    assert await store.values() == {b"key": b"value"}
    assert store.due() == {}


async def test_the_stamp_of_a_record_outlives_all_its_rows(store: Store) -> None:
    await store.delete(b"key", at=7)
    store.advance(store.kept_us)
    await store.sweep()
    await store.reopen()
    assert await store.stamp() == (7, "delete")


# -- trouble


async def test_a_stalled_disk_ends_a_sweep_which_the_next_one_goes_on_with(store: Store) -> None:
    await many_deletes(store)
    store.advance(KEPT_US + 100)
    store.disk.stalls = 1
    assert (await store.rocks.sweep(100)).purged == 0
    assert (await store.rocks.sweep(100)).purged == 50


async def test_a_table_dropped_during_a_sweep_is_left_alone(store: Store) -> None:
    await many_deletes(store, 200)
    await store.add_table("kv/second")
    store.advance(KEPT_US + 1_000)
    store.environment.tick_ns = 500_000
    sweeping = asyncio.ensure_future(store.rocks.sweep(10_000))
    await asyncio.sleep(0)
    await store.rocks.drop_table(store.spec.name)
    await sweeping
    assert (store.stored(), store.due()) == ({}, {})


async def test_a_sweep_ends_with_the_engine_and_forgets_no_plan(store: Store) -> None:
    await many_deletes(store, 200)
    store.advance(KEPT_US + 1_000)
    store.environment.tick_ns = 500_000
    sweeping = asyncio.ensure_future(store.rocks.sweep(10_000))
    await asyncio.sleep(0)
    await store.rocks.stop()
    with pytest.raises(Unavailable, match="the engine is stopped"):
        await sweeping
    store.environment.tick_ns = 0
    await store.open()
    await store.sweep()
    found = await store.rows(span=Span())
    assert (found, store.due()) == ([], {})
    assert store.table.header(store.prefix()).ranges == ()  # type: ignore[union-attr]


async def test_a_stopped_engine_does_not_sweep(store: Store) -> None:
    await store.rocks.stop()
    with pytest.raises(Unavailable, match="the engine is stopped"):
        await store.rocks.sweep(1)


async def test_a_leap_of_the_clock_removes_nothing_that_is_there_again_afterwards(store: Store) -> None:
    await store.put(b"a", b"", at=0, expires=1_800_000_000)
    await store.delete(b"b", at=0)
    store.environment.skew(2 * MARKER_MAX_US / 1e6)
    assert await store.sweep() == 0
    store.environment.skew(-2 * MARKER_MAX_US / 1e6)
    assert list(await store.values()) == [b"a"]


async def test_a_clock_that_was_set_right_is_believed_in_time(store: Store) -> None:
    await store.delete(b"b", at=0)
    ahead_us = 2 * MARKER_MAX_US
    store.environment.skew(ahead_us / 1e6)
    assert await store.sweep() == 0
    store.advance(ahead_us)
    assert await store.sweep() == 1
