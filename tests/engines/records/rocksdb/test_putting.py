from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engines.records.rocksdb.store import Store

from soundstage.core import version
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.engines.records.port import KEY_MAX_BYTES, Batch, RangeDelete
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.putting import RaisedHeaders, is_one_item, raised
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.testing.records.bench import RECORD

CELL = version.put(10, "token", b"value")
KNOWN = Header(version.identity(CELL), version.delete(3, "gone"), (), b"d", b"f\0")


def test_one_cell_within_the_limits_is_one_item() -> None:
    assert is_one_item(Batch(cells=[(b"key", CELL)]))
    assert is_one_item(Batch(cells=[(b"", version.delete(1, "token"))]))


@pytest.mark.parametrize(
    "batch",
    [
        Batch(),
        Batch(cells=[(b"a", CELL), (b"b", CELL)]),
        Batch(cells=[(b"a", CELL)], partition=CELL),
        Batch(cells=[(b"a", CELL)], ranges=[RangeDelete(b"a", None, CELL)]),
        Batch(cells=[(b"k" * (KEY_MAX_BYTES + 1), CELL)]),
    ],
)
def test_anything_else_is_not(batch: Batch) -> None:
    assert not is_one_item(batch)


def test_an_item_over_the_bytes_asked_for_is_not() -> None:
    batch = Batch(cells=[(b"key", CELL)])
    assert is_one_item(batch, 3 + len(CELL))
    assert not is_one_item(batch, 2 + len(CELL))


def test_the_first_item_of_a_partition_makes_its_header() -> None:
    assert raised(None, b"key", CELL) == Header(version.identity(CELL), None, (), b"key", b"key\0")


def test_a_newer_item_raises_the_header_and_keeps_its_tombstones() -> None:
    newer = version.put(11, "token", b"value")
    header = raised(KNOWN, b"e", newer)
    assert header == Header(version.identity(newer), KNOWN.partition, KNOWN.ranges, b"d", b"f\0")


@pytest.mark.parametrize(
    ("key", "bounds"), [(b"a", (b"a", b"f\0")), (b"f\0", (b"d", b"f\0\0")), (b"f", (b"d", b"f\0"))]
)
def test_an_item_beyond_the_bounds_widens_them(key: bytes, bounds: tuple[bytes, bytes]) -> None:
    header = raised(KNOWN, key, version.put(11, "token", b"value"))
    assert header is not None
    assert (header.low, header.high) == bounds


@pytest.mark.parametrize(
    "cell",
    [
        version.put(9, "token", b"value"),
        version.put(10, "toke", b"value"),
        version.put(10, "token", b"another payload"),
        version.put(10, "token", b""),
    ],
)
def test_an_item_that_may_be_surpassed_raises_nothing(cell: bytes) -> None:
    assert raised(KNOWN, b"e", cell) is None


CELLS = st.builds(version.put, st.integers(1, 3), st.sampled_from(["a", "ab", "b"]), st.binary(max_size=2)) | st.builds(
    version.delete, st.integers(1, 3), st.sampled_from(["a", "ab", "b"])
)


@given(CELLS, CELLS)
def test_what_raises_a_header_surpasses_every_cell_that_the_header_may_tell_of(before: bytes, cell: bytes) -> None:
    header = raised(Header(version.identity(before)), b"key", cell)
    if header is not None:
        assert cell > before
        assert header.newest == version.identity(cell)


async def test_puts_of_one_moment_into_one_record_are_one_batch(store: Store) -> None:
    await asyncio.gather(*(store.put(b"%d" % number, b"value", at=number) for number in range(5)))
    assert (store.disk.writes, store.disk.flushes) == (2, 2)
    assert await store.values() == {b"%d" % number: b"value" for number in range(5)}


async def test_a_header_is_one_row_of_a_batch_however_many_items_raise_it(store: Store) -> None:
    batch, prefix = AtomicBatch(), store.prefix(RECORD)
    for at in range(3):
        batch.keys[prefix] = Header(version.identity(version.put(at, "token", b"")))
        (batch.raised or RaisedHeaders(batch)).tables[prefix] = store.table
    batch.complete()
    rows = batch.rows.len()
    store.database.write(batch.rows)
    batch.was_written()
    assert (rows, store.table.peek(prefix)) == (1, batch.keys[prefix])


async def test_of_puts_of_one_moment_the_greatest_wins_in_whatever_order_they_come(store: Store) -> None:
    await asyncio.gather(*(store.put(b"key", b"%d" % at, at=at) for at in (2, 4, 1, 3)))
    assert await store.values() == {b"key": b"4"}


async def test_an_older_put_of_the_same_moment_that_nothing_surpasses_is_kept(store: Store) -> None:
    await asyncio.gather(store.put(b"new", b"value", at=2), store.put(b"old", b"value", at=1))
    assert await store.values() == {b"new": b"value", b"old": b"value"}


async def test_a_put_and_the_delete_of_its_record_at_one_moment_are_resolved_by_their_times(store: Store) -> None:
    await asyncio.gather(store.put(b"a", b"value", at=1), store.delete_all(at=2), store.put(b"b", b"value", at=3))
    assert await store.values() == {b"b": b"value"}


async def test_what_ends_is_brought_before_the_sweeper(store: Store) -> None:
    await store.put(b"lasts", b"value", at=0)
    assert len(store.due()) == 0
    await asyncio.gather(store.delete(b"marker", at=1), store.put(b"expires", b"value", at=2, expires=5))
    assert len(store.due()) == 2


async def test_the_header_is_as_it_is_read_again(store: Store) -> None:
    await asyncio.gather(*(store.put(key, b"value", at=at) for at, key in enumerate((b"b", b"c", b"a"))))
    known = store.table.header(store.prefix(RECORD))
    store.table.known.clear()
    assert known is not None
    assert known == store.table.header(store.prefix(RECORD))
    assert (known.low, known.high) == (b"a", b"c\0")


async def test_after_a_stall_the_header_is_not_raised_by_what_was_not_written(store: Store) -> None:
    store.disk.stalls = 1
    put = asyncio.ensure_future(store.put(b"key", b"value", at=5))
    for _ in range(2):
        await asyncio.sleep(0)
    assert store.table.peek(store.prefix(RECORD)) is None
    await put
    assert store.table.peek(store.prefix(RECORD)) is not None


async def test_a_disk_near_full_refuses_the_puts_of_a_moment_and_takes_its_deletes(store: Store) -> None:
    store.disk.free = 0
    put, deleted = await asyncio.gather(
        store.put(b"a", b"value", at=0), store.delete(b"b", at=1), return_exceptions=True
    )
    assert isinstance(put, Unavailable)
    assert put.outcome == "not_applied"
    assert not isinstance(deleted, BaseException)


async def test_a_partition_without_a_name_is_refused_and_harms_no_other(store: Store) -> None:
    refused, taken = await asyncio.gather(
        store.rocks.apply(store.spec.name, b"", Batch(cells=[(b"key", CELL)])),
        store.rocks.apply(store.spec.name, b"r", Batch(cells=[(b"key", CELL)])),
        return_exceptions=True,
    )
    assert isinstance(refused, InvalidArgument)
    assert taken == 10
