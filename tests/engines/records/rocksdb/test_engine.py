from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.engines.records.rocksdb.store import Store
from tests.engines.rocks.images import overwrite
from tests.engines.rocks.threads import NO_SPACE

from soundstage.core import version
from soundstage.core.errors import (
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    InvalidArgument,
    NotFound,
    SoundstageError,
    Unavailable,
)
from soundstage.engines.records.port import ALL, DEFAULT_BUDGET, Batch, Budget, Capability, Span, TableSpec
from soundstage.engines.records.rocksdb import RocksOptions
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.folder import holder
from soundstage.engines.rocks.options import Durability
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD
from soundstage.testing.records.writes import batch_of

Call = Callable[[Store], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "apply": lambda store: store.put(b"key", b"value", at=0),
    "apply late": lambda store: store.put(b"key", b"value", at=-3),
    "get": lambda store: store.rocks.get(store.spec.name, RECORD, [b"key"], 0),
    "get many": lambda store: store.rocks.get(store.spec.name, RECORD, [b"key", b"other"], 0),
    "read": lambda store: store.rocks.read(store.spec.name, RECORD, ALL, DEFAULT_BUDGET, 0),
    "read_many": lambda store: store.rocks.read_many(store.spec.name, [RECORD], ALL, DEFAULT_BUDGET, 0),
    "walk": lambda store: store.walk(),
    "sweep": lambda store: store.rocks.sweep(1),
    "statistics": lambda store: store.rocks.statistics(store.spec.name),
    "tables": lambda store: store.rocks.tables(),
    "create_table": lambda store: store.rocks.create_table(TableSpec(name="kv/new")),
    "drop_table": lambda store: store.rocks.drop_table(store.spec.name),
    "set_purge_floor": lambda store: store.rocks.set_purge_floor(store.spec.name, 0),
    "checkpoint": lambda store: store.rocks.checkpoint(f"{store.folder}-copy"),
    "restore": lambda store: store.rocks.restore(f"{store.folder}-copy"),
}


async def refusal_of(call: Awaitable[Any]) -> SoundstageError:
    with pytest.raises(SoundstageError) as caught:
        await call
    return caught.value


# -- lifecycle


async def test_starting_twice_is_once(store: Store) -> None:
    await store.rocks.start()
    await store.rocks.stop()
    assert holder(store.folder) is None


async def test_an_engine_starts_again_after_it_was_stopped(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    await store.rocks.stop()
    await store.rocks.start()
    assert await store.values() == {b"key": b"value"}


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_of_a_stopped_engine_is_unavailable(store: Store, call: str) -> None:
    await store.rocks.stop()
    error = await refusal_of(CALLS[call](store))
    assert (type(error), error.detail) == (Unavailable, "the engine is stopped")


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_after_a_failed_write_is_unavailable_with_the_reason(store: Store, call: str) -> None:
    store.disk.flush_error = NO_SPACE
    await refusal_of(store.put(b"key", b"value", at=0))
    error = await refusal_of(CALLS[call](store))
    assert isinstance(error, Unavailable)
    assert "closed after a failed write: IO error: No space left on device" in error.detail
    assert error.hint == "see to the disk and restart"


async def test_an_engine_is_lost_from_the_failed_write_on(store: Store) -> None:
    assert store.rocks.lost is None
    store.disk.flush_error = NO_SPACE
    error = await refusal_of(store.put(b"key", b"value", at=0))
    assert isinstance(error, Unavailable)
    assert "closed after a failed write" in str(store.rocks.lost)


@pytest.mark.parametrize(
    "call",
    [name for name in CALLS if name not in ("tables", "create_table", "checkpoint", "restore", "sweep", "drop_table")],
)
async def test_a_table_that_is_not_there_is_not_found(store: Store, call: str) -> None:
    store.spec = msgspec.structs.replace(store.spec, name="kv/none")
    assert isinstance(await refusal_of(CALLS[call](store)), NotFound)


async def test_dropping_a_table_that_is_not_there_is_no_error(store: Store) -> None:
    await store.rocks.drop_table("kv/none")


async def test_the_address_is_announced_in_the_folder(store: Store) -> None:
    store.rocks.announce("http://127.0.0.1:7777")
    found = holder(store.folder)
    assert found is not None
    assert (found.pid, found.url) == (os.getpid(), "http://127.0.0.1:7777")


@pytest.mark.parametrize(("durability", "durable"), [("group", True), ("always", True), ("os", False)])
def test_what_an_engine_announces_depends_on_its_durability(folder: str, durability: Durability, durable: bool) -> None:
    engine = Store(folder, RocksOptions(durability=durability)).unstarted()
    assert engine.capabilities == {
        Capability.CONDITIONAL,
        Capability.STATISTICS,
        Capability.CHECKPOINT,
        Capability.TRANSFER,
        Capability.BULK,
        Capability.ATOMIC_WITH_LOG,
        *({Capability.DURABLE} if durable else ()),
    }


async def test_a_start_that_fails_midway_holds_nothing(store: Store) -> None:
    store.database.rdict.put(b"\0\0\0\0table/x", b"garbage")
    await store.rocks.stop()
    for _ in range(2):
        error = await refusal_of(store.unstarted().start())
        assert isinstance(error, DataLoss)
        assert "a row cannot be read" in error.detail
    assert holder(store.folder) is None


# -- damage


def damage_rows(folder: str) -> str:
    """Every block of rows but the first in the largest table file is damaged, not what tells where they are."""
    table = max(Path(folder).glob("*.sst"), key=lambda path: path.stat().st_size)
    for at in range(15, 80):
        overwrite(table, at / 100, b"\xff" * 64)
    return table.name


@pytest.mark.parametrize("call", ["apply late", "get", "get many", "read", "read_many", "walk", "statistics", "sweep"])
async def test_damage_that_a_call_meets_is_data_loss_and_never_silence(store: Store, call: str) -> None:
    store.flush()
    keys = [side + b"%04d" % number for side in (b"a", b"z") for number in range(100)]
    puts = {key: Put(store.environment.random.randbytes(300)) for key in keys}
    await store.send(store.write(at=-2, puts={**puts, b"key": Put(b"v")}))
    await store.delete(b"z0020", at=-1)
    store.flush()
    await store.rocks.stop()
    name = damage_rows(store.folder)
    await store.rocks.start()
    store.advance(store.kept_us)
    error = await refusal_of(CALLS[call](store))
    assert isinstance(error, DataLoss)
    assert f"{store.folder}/{name}" in error.detail
    assert "soundstage data repair --accept-loss" in str(error.hint)


async def test_damage_to_range_tombstones_is_data_loss_and_not_their_loss(store: Store) -> None:
    store.flush()
    spans = [(b"%04d" % (2 * at), b"%04d" % (2 * at + 1)) for at in range(900)]
    await store.send(store.write(at=0, ranges=spans))
    store.flush()
    await store.rocks.stop()
    damage_rows(store.folder)
    await store.rocks.start()
    assert isinstance(await refusal_of(store.put(b"0000", b"late", at=-1)), DataLoss)


# -- deadlines and disks


async def test_after_the_deadline_nothing_is_written(store: Store) -> None:
    batch = batch_of(store.write(at=0, puts={b"key": Put(b"value")}))
    deadline_ns = store.environment.monotonic_ns()
    error = await refusal_of(store.rocks.apply(store.spec.name, RECORD, batch, deadline_ns=deadline_ns))
    assert (type(error), error.outcome) == (DeadlineExceeded, "not_applied")
    assert await store.values() == {}


async def turns() -> None:
    """What was begun has been written, and flushed if that takes no thread."""
    for _ in range(2):
        await asyncio.sleep(0)


async def test_a_disk_that_does_not_keep_up_is_waited_for(store: Store) -> None:
    store.disk.stalls = 100
    await store.put(b"key", b"value", at=0)
    assert await store.values() == {b"key": b"value"}


@pytest.mark.parametrize("call", ["apply", "create_table", "drop_table", "set_purge_floor"])
async def test_a_disk_that_never_keeps_up_exhausts_every_change(store: Store, call: str) -> None:
    store.disk.stalls = 1_000_000
    error = await refusal_of(CALLS[call](store))
    assert (type(error), error.outcome) == (Exhausted, "not_applied")
    store.disk.stalls = 0
    assert [spec.name for spec in await store.rocks.tables()] == [store.spec.name]


async def test_a_table_that_goes_while_a_write_waits_for_the_disk_is_not_found(store: Store) -> None:
    store.disk.stalls = 1
    writing = asyncio.ensure_future(store.put(b"key", b"value", at=0))
    await turns()
    await store.rocks.drop_table(store.spec.name)
    assert isinstance(await refusal_of(writing), NotFound)


async def test_a_disk_near_full_refuses_puts_and_takes_deletes(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    store.disk.free = store.options.low_water - 1
    store.environment.advance(2)
    error = await refusal_of(store.put(b"other", b"value", at=1))
    assert (type(error), error.outcome) == (Unavailable, "not_applied")
    assert "low-water mark" in error.detail
    await store.delete(b"key", at=2)
    await store.delete_range(b"a", b"b", at=3)
    await store.delete_all(at=4)
    assert await store.values() == {}


@pytest.mark.parametrize(("name", "settings"), [("system/leases", {}), ("timeseries/trips", {"own": True})])
async def test_a_disk_near_full_takes_what_the_stage_writes_for_itself(
    store: Store, name: str, settings: dict[str, Any]
) -> None:
    # That it is so may be said later than the table is made.
    await store.add_table(name)
    own = await store.add_table(name, **settings)
    store.disk.free = store.options.low_water - 1
    cell = version.put(store.environment.now_us(), "token", b"mine")
    await store.rocks.apply(own.name, b"record", Batch(cells=[(b"key", cell)]))
    page = await store.rocks.get(own.name, b"record", (b"key",), store.environment.now_us())
    assert [key for key, _ in page.rows] == [b"key"]


async def test_a_full_disk_refuses_the_stages_own_writes_too(store: Store) -> None:
    own = await store.add_table("system/leases")
    store.disk.free = 0
    cell = version.put(store.environment.now_us(), "token", b"mine")
    assert isinstance(await refusal_of(store.rocks.apply(own.name, b"r", Batch(cells=[(b"k", cell)]))), Unavailable)


async def test_a_disk_near_full_is_warned_of(store: Store) -> None:
    assert store.rocks.warning is None
    store.disk.free = store.options.low_water - 1
    assert "writes are refused: the disk of" in str(store.rocks.warning)


async def test_a_disk_near_full_refuses_a_call_that_puts_and_deletes(store: Store) -> None:
    store.disk.free = 0
    write = store.write(at=0, puts={b"key": Put(b"value")}, markers=[b"other"])
    assert isinstance(await refusal_of(store.send(write)), Unavailable)


# -- readers of what is not flushed


@pytest.mark.parametrize("call", ["get", "get many", "read", "read_many", "walk"])
async def test_a_reader_of_an_unflushed_record_is_answered_after_its_flush(store: Store, call: str) -> None:
    """The flush fails, and the reader is told so, instead of what a power cut may take back."""
    store.disk.goes.clear()
    writers = [asyncio.ensure_future(store.put(b"key", b"value", at=at)) for at in range(2)]
    await turns()
    reading = asyncio.ensure_future(CALLS[call](store))
    await turns()
    assert not reading.done()
    store.disk.flush_error = NO_SPACE
    store.disk.goes.set()
    error = await refusal_of(reading)
    assert (type(error), error.outcome) == (Unavailable, "unknown")
    await asyncio.gather(*writers, return_exceptions=True)


async def test_a_reader_of_another_record_waits_for_nothing(store: Store) -> None:
    await store.put(b"key", b"value", at=0, record=b"other")
    store.disk.goes.clear()
    writers = [asyncio.ensure_future(store.put(b"key", b"value", at=at)) for at in range(2)]
    await turns()
    flushes = store.disk.flushes
    page = await store.rocks.get(store.spec.name, b"other", [b"key"], store.at(None))
    assert (len(page.rows), store.disk.flushes) == (1, flushes)
    store.disk.goes.set()
    await asyncio.gather(*writers)


async def test_without_durability_readers_wait_for_nothing(folder: str) -> None:
    store = Store(folder, RocksOptions(durability="os"))
    await store.open()
    await store.put(b"key", b"value", at=0)
    assert await store.values() == {b"key": b"value"}
    assert store.disk.flushes == 0
    await store.close()


# -- many reads in one


async def test_reading_many_ends_with_the_record_that_did_not_fit(store: Store) -> None:
    for record in (b"a", b"b", b"c"):
        await store.send(store.write(at=0, puts={b"%d" % key: Put(b"v" * 100) for key in range(3)}), record)
    budget = Budget(bytes=500)
    pages = await store.rocks.read_many(store.spec.name, [b"a", b"b", b"c"], Span(), budget, store.at(None))
    assert [len(page.rows) for page in pages] == [3, 0, 0]
    assert [page.resume for page in pages] == [None, b"0", b""]


async def test_the_first_row_of_many_records_is_returned_whatever_its_size(store: Store) -> None:
    for record in (b"a", b"b"):
        await store.put(b"key", b"v" * 1_000, at=0, record=record)
    pages = await store.rocks.read_many(store.spec.name, [b"none", b"a", b"b"], Span(), Budget(bytes=1), store.at(None))
    assert [len(page.rows) for page in pages] == [0, 1, 0]


# -- being part of a batch


async def test_an_enlisted_write_is_there_with_the_batch(store: Store) -> None:
    batch = batch_of(store.write(at=5, puts={b"key": Put(b"value")}))

    def build(rows: AtomicBatch) -> int:
        return store.rocks.enlist(rows, store.spec.name, RECORD, batch)

    assert await store.database.atomically(build) == store.at(5)
    assert await store.values() == {b"key": b"value"}


async def test_records_of_several_tables_are_written_by_one_batch(store: Store) -> None:
    other = await store.add_table("kv/other")
    batch = batch_of(store.write(at=0, puts={b"key": Put(b"value")}))

    def build(rows: AtomicBatch) -> None:
        for table, record in ((store.spec.name, b"a"), (store.spec.name, b"b"), (other.name, b"a")):
            store.rocks.enlist(rows, table, record, batch)

    before = store.disk.writes, store.disk.flushes
    await store.database.atomically(build)
    assert (store.disk.writes - before[0], store.disk.flushes - before[1]) == (1, 1)
    assert [await store.values(record) for record in (b"a", b"b")] == [{b"key": b"value"}] * 2


async def test_a_record_is_enlisted_once(store: Store) -> None:
    batch = batch_of(store.write(at=0, puts={b"key": Put(b"value")}))

    def build(rows: AtomicBatch) -> None:
        for _ in range(2):
            store.rocks.enlist(rows, store.spec.name, RECORD, batch)

    assert isinstance(await refusal_of(store.database.atomically(build)), InvalidArgument)
    assert store.stored() == {}


async def test_an_enlisted_write_is_checked_like_any_other(store: Store) -> None:
    def build(rows: AtomicBatch) -> int:
        return store.rocks.enlist(rows, store.spec.name, RECORD, Batch())

    assert isinstance(await refusal_of(store.database.atomically(build)), InvalidArgument)
