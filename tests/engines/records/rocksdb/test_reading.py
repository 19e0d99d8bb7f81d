from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.engines.records.rocksdb.store import Store

from soundstage.core.errors import Unavailable
from soundstage.engines.records.port import KEY_CEILING, Budget, Span
from soundstage.engines.records.rocksdb.reading import (
    CLOCK_EVERY,
    KEYS_AT_ONCE,
    SLICE_NS,
    Slices,
    beginning,
    live_row_exists,
    seek,
)
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD

COUNT = 500
SLOW_NS = SLICE_NS // 2
"""How long a look at the clock takes in tests of slices: a slice is over after a few of them."""


async def fill(store: Store, count: int = COUNT, record: bytes = RECORD, at: int = 0) -> None:
    await store.send(store.write(at=at, puts={b"%04d" % key: Put(b"value") for key in range(count)}), record)


Read = Callable[[Store], Awaitable[Any]]


async def read_page(store: Store) -> Any:
    return (await store.page()).rows


async def read_back(store: Store) -> Any:
    return (await store.page(span=Span(reverse=True))).rows


async def read_keys(store: Store) -> Any:
    keys = [b"%04d" % key for key in range(COUNT)]
    return (await store.rocks.get(store.spec.name, RECORD, keys, store.at(None))).rows


async def read_many(store: Store) -> Any:
    pages = await store.rocks.read_many(store.spec.name, [RECORD], Span(), Budget(), store.at(None))
    return pages[0].rows


async def walk(store: Store) -> Any:
    return [row for _, rows in (await store.walk()).partitions for row in rows]


async def count(store: Store) -> Any:
    return [None] * (await store.rocks.statistics(store.spec.name)).rows


LONG_READS = [read_page, read_back, read_keys, read_many, walk, count]


@pytest.fixture
async def slow(store: Store) -> Store:
    """A record that takes many slices to read."""
    await fill(store)
    store.environment.tick_ns = SLOW_NS
    return store


# -- slices


@pytest.mark.parametrize("read", LONG_READS)
async def test_a_long_read_lets_others_run(slow: Store, read: Read) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(others())
    found = await read(slow)
    task.cancel()
    assert len(found) == COUNT
    assert turns >= 3


@pytest.mark.parametrize("read", [read_page, read_back, read_keys, walk])
async def test_what_is_written_during_a_read_is_not_in_its_page(slow: Store, read: Read) -> None:
    reading = asyncio.ensure_future(read(slow))
    await asyncio.sleep(0)
    assert slow.database.paused == 1
    slow.environment.tick_ns = 0
    await slow.send(slow.write(at=1, puts={b"%04d" % key: Put(b"later") for key in range(COUNT)}))
    rows = await reading
    assert (len(rows), {cell[-5:] for _, cell in rows}) == (COUNT, {b"value"})


@pytest.mark.parametrize("read", LONG_READS)
async def test_a_read_of_a_table_that_is_dropped_meanwhile_is_unavailable(slow: Store, read: Read) -> None:
    reading = asyncio.ensure_future(read(slow))
    await asyncio.sleep(0)
    await slow.rocks.drop_table(slow.spec.name)
    with pytest.raises(Unavailable, match="the table was dropped during the call"):
        await reading


@pytest.mark.parametrize("read", LONG_READS)
async def test_a_read_under_way_ends_with_the_engine_and_keeps_nothing_open(slow: Store, read: Read) -> None:
    reading = asyncio.ensure_future(read(slow))
    await asyncio.sleep(0)
    assert slow.database.paused == 1
    await slow.rocks.stop()
    # The error is kept, and with it the frames of the read: the folder must be free all the same.
    (error,) = await asyncio.gather(reading, return_exceptions=True)
    assert isinstance(error, Unavailable)
    assert error.detail == "the engine is stopped"
    await slow.open()
    slow.environment.tick_ns = 0
    assert len(await slow.rows()) == COUNT


@pytest.mark.parametrize("read", LONG_READS)
async def test_a_cancelled_read_keeps_nothing_open(slow: Store, read: Read) -> None:
    reading = asyncio.ensure_future(read(slow))
    await asyncio.sleep(0)
    reading.cancel()
    (error,) = await asyncio.gather(reading, return_exceptions=True)
    assert isinstance(error, asyncio.CancelledError)
    assert slow.database.paused == 0
    await slow.reopen()


async def test_a_slice_lasts_for_some_time_and_then_ends(store: Store) -> None:
    slices = Slices(store.database)
    began = store.environment.monotonic_ns()
    assert await slices.pause(store.table)
    store.environment.advance(SLICE_NS / 1e9)
    assert await slices.pause(store.table)
    assert store.environment.monotonic_ns() - began == SLICE_NS


async def test_a_slice_tells_that_the_deadline_has_passed(store: Store) -> None:
    slices = Slices(store.database, store.environment.monotonic_ns() + 10)
    assert await slices.pause(store.table)
    store.environment.advance(10 / 1e9)
    assert not await slices.pause(store.table)


async def test_a_slice_of_a_dropped_table_ends_even_when_nobody_waited(store: Store) -> None:
    slices, table = Slices(store.database), store.table
    await store.rocks.drop_table(store.spec.name)
    with pytest.raises(Unavailable, match="dropped"):
        await slices.pause(table)


async def test_a_slice_of_a_closed_database_ends(store: Store) -> None:
    slices, table = Slices(store.database), store.table
    await store.rocks.stop()
    for each in (table, None):
        with pytest.raises(Unavailable, match="the engine is stopped"):
            await slices.pause(each)


# -- deadlines


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_read_whose_time_is_over_returns_what_it_has_and_where_to_go_on(slow: Store, reverse: bool) -> None:
    budget = Budget(deadline_ns=slow.environment.monotonic_ns() + 5 * SLOW_NS)
    page = await slow.page(span=Span(reverse=reverse), budget=budget)
    assert CLOCK_EVERY <= len(page.rows) < COUNT
    slow.environment.tick_ns = 0
    rest = Span(b"", page.resume, True) if reverse else Span(page.resume or b"")
    assert len(page.rows) + len(await slow.rows(span=rest)) == COUNT


async def test_a_read_by_keys_whose_time_is_over_goes_on_with_the_next_key(slow: Store) -> None:
    keys = [b"%04d" % key for key in range(COUNT)]
    budget = Budget(deadline_ns=slow.environment.monotonic_ns() + 5 * SLOW_NS)
    page = await slow.rocks.get(slow.spec.name, RECORD, keys, slow.at(None), budget)
    assert page.resume == keys[len(page.rows)]


# -- what is found


@pytest.mark.parametrize("count", [1, KEYS_AT_ONCE, KEYS_AT_ONCE + 1])
async def test_keys_are_answered_in_the_order_asked_however_many(store: Store, count: int) -> None:
    await fill(store)
    keys = [b"%04d" % key for key in reversed(range(count))]
    asked = [each for key in keys for each in (key, key + b"-none")]
    page = await store.rocks.get(store.spec.name, RECORD, asked, store.at(None))
    assert [key for key, _ in page.rows] == keys


async def test_a_key_past_the_last_row_of_the_database_is_not_there(store: Store) -> None:
    await fill(store, 1)
    keys = [b"\xff" * (number + 1) for number in range(KEYS_AT_ONCE + 1)]
    assert (await store.rocks.get(store.spec.name, RECORD, keys, store.at(None))).rows == []


async def test_a_key_of_another_record_is_not_there(store: Store) -> None:
    await fill(store, 1, b"record-2")
    keys = [b"%04d" % key for key in range(KEYS_AT_ONCE + 1)]
    await fill(store, 0 + 1, b"record-1", at=1)
    page = await store.rocks.get(store.spec.name, b"record-1", keys, store.at(None))
    assert [key for key, _ in page.rows] == [b"0000"]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(), b""),
        (Span(b"a"), b"a"),
        (Span(b"a", b"b", True), b"b"),
        (Span(b"", b"", True), b""),
        (Span(reverse=True), KEY_CEILING),
    ],
)
def test_a_read_that_did_not_begin_resumes_where_it_would_have(span: Span, expected: bytes) -> None:
    assert beginning(span) == expected


async def test_dead_rows_at_either_end_are_never_passed(store: Store) -> None:
    """Who keeps the newest deletes from one end; what lies there is not looked at."""
    await fill(store)
    await store.delete_range(b"", b"0490", at=1)
    header = store.table.header(store.prefix())
    assert header is not None
    assert (header.low, header.high) == (b"0490", b"0499\0")
    assert [key for key, _ in await store.rows()] == [b"%04d" % key for key in range(490, 500)]


@pytest.mark.parametrize(("deletes", "exists"), [((), True), ((b"0000",), True), ((b"0000", b"0001"), False)])
async def test_a_record_has_a_live_row_or_none(store: Store, deletes: tuple[bytes, ...], exists: bool) -> None:
    await fill(store, 2)
    if deletes:
        await store.delete(*deletes, at=1)
    header = store.table.header(store.prefix())
    assert header is not None
    assert live_row_exists(store.table, store.prefix(), header, store.at(None)) == exists


async def test_a_record_whose_rows_are_hidden_has_no_live_row(store: Store) -> None:
    await fill(store, 2)
    await store.put(b"9", b"newer", at=9, record=RECORD)
    await store.delete_range(b"", b"5", at=5)
    await store.delete(b"9", at=10)
    header = store.table.header(store.prefix())
    assert header is not None
    assert not live_row_exists(store.table, store.prefix(), header, store.at(None))


async def test_an_iterator_ends_at_its_bounds(store: Store) -> None:
    await fill(store, 3)
    base = store.prefix() + b"\0\1"
    rows, bounds = seek(store.table, base + b"0001", base + b"0002", reverse=False)
    found = []
    while rows.valid():
        found.append(rows.key()[len(base) :])
        rows.next()
    del rows, bounds
    gc.collect()
    assert found == [b"0001"]
