from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rocksdict import Cache, Rdict
from tests.engines.records.rocksdb.store import Store
from tests.engines.rocks.images import overwrite

from soundstage.core.errors import DataLoss
from soundstage.engines.records.port import ALL, DEFAULT_BUDGET
from soundstage.engines.records.rocksdb import RocksOptions, RocksRecords, repair
from soundstage.engines.records.rocksdb import header as headers
from soundstage.engines.records.rocksdb.header import Header
from soundstage.engines.records.rocksdb.mending import mend
from soundstage.engines.records.rocksdb.rowkeys import HEAD, HEADER, ITEMS, NUMBER, RANGE
from soundstage.engines.records.rocksdb.tables import DUE, rows_between
from soundstage.engines.rocks.opening import open_rdict
from soundstage.testing.model import Condition, Put
from soundstage.testing.records.bench import KEPT_US, RECORD

Tear = Callable[[Rdict, bytes], None]
"""Something is lost of the record whose row keys begin so."""


async def fill(store: Store) -> None:
    await store.send(store.write(at=0, puts={b"%04d" % key: Put(b"value") for key in range(10)}))
    await store.delete(b"0000", at=1)
    await store.delete_range(b"0001", b"0002", at=2)
    await store.put(b"expiring", b"", at=3, expires=5 * KEPT_US)


async def torn(store: Store, tear: Tear) -> int:
    """The store is served again after a loss and a mending; returns how many partitions were put right."""
    prefix = store.prefix()
    await store.rocks.stop()
    db = open_rdict(store.folder, RocksOptions(), Cache(1 << 20))
    tear(db, prefix)
    mended = mend(db, store.environment)
    db.close()
    await store.open()
    return mended


def nothing(db: Rdict, prefix: bytes) -> None:
    pass


def the_header(db: Rdict, prefix: bytes) -> None:
    db.delete(prefix + HEAD + HEADER)


def the_last_version_of_the_header(db: Rdict, prefix: bytes) -> None:
    """What a header says that an older table file has."""
    db.put(prefix + HEAD + HEADER, headers.encode(Header(b"\0" * 8 + b"\0t\0", None, (), b"0003", b"0005")))


def all_plans(db: Rdict, prefix: bytes) -> None:
    family = db.get_column_family(DUE)
    for entry, _ in list(rows_between(family, b"", b"\xff")):
        family.delete(entry)


def the_family_of_plans(db: Rdict, prefix: bytes) -> None:
    db.drop_column_family(DUE)


LOSSES = [the_header, the_last_version_of_the_header, all_plans, the_family_of_plans]


async def test_nothing_is_mended_where_nothing_was_lost(store: Store) -> None:
    await fill(store)
    before = store.stored()
    assert await torn(store, nothing) == 0
    assert store.stored() == before


@pytest.mark.parametrize("tear", LOSSES)
async def test_what_is_left_of_a_record_is_read(store: Store, tear: Tear) -> None:
    await fill(store)
    before = await store.rows()
    await torn(store, tear)
    assert await store.rows() == before
    assert len(before) == 9


@pytest.mark.parametrize("tear", LOSSES)
async def test_the_stamp_is_that_of_the_newest_that_is_left(store: Store, tear: Tear) -> None:
    await fill(store)
    await torn(store, tear)
    assert await store.stamp() == (3, "token")


@pytest.mark.parametrize("tear", LOSSES)
async def test_deletes_hide_as_before(store: Store, tear: Tear) -> None:
    await fill(store)
    await torn(store, tear)
    for key in (b"0000", b"0001"):
        await store.put(key, b"late", at=0)
    assert not {b"0000", b"0001"} & set(await store.values())


@pytest.mark.parametrize("tear", LOSSES)
async def test_everything_is_forgotten_in_its_time(store: Store, tear: Tear) -> None:
    await fill(store)
    await torn(store, tear)
    store.advance(6 * KEPT_US + store.kept_us)
    await store.sweep()
    assert store.due() == {}
    assert len(store.stored()) == 9


@pytest.mark.parametrize("tear", [the_header, the_last_version_of_the_header])
async def test_records_that_were_put_right_are_counted(store: Store, tear: Tear) -> None:
    await fill(store)
    await store.put(b"key", b"value", at=0, record=b"another")
    assert await torn(store, tear) == 1


async def test_a_range_that_came_back_beside_its_successor_is_merged(store: Store) -> None:
    await store.delete_range(b"a", b"c", at=0, token="older")
    older = store.stored()[store.prefix() + HEAD + RANGE + b"a"]
    await store.delete_range(b"", b"b", at=1, token="newer")

    def tear(db: Rdict, prefix: bytes) -> None:
        db.put(prefix + HEAD + RANGE + b"a", older)

    assert await torn(store, tear) == 1
    header = store.table.header(store.prefix())
    assert header is not None
    assert [(each.start, each.end) for each in header.ranges] == [(b"", b"b"), (b"b", b"c")]


async def test_a_record_of_success_counts_for_the_stamp(conditional: Store) -> None:
    stamp = await conditional.put_if(b"key", b"value", Condition(b"key", None), at=5, token="t-1")

    def tear(db: Rdict, prefix: bytes) -> None:
        for rest in (HEAD + HEADER, ITEMS + b"key"):
            db.delete(prefix + rest)

    await torn(conditional, tear)
    assert await conditional.stamp() == (stamp, "t-1")


async def test_rows_of_a_table_that_the_catalogue_lost_are_not_given_to_a_new_one(store: Store) -> None:
    await fill(store)

    def tear(db: Rdict, prefix: bytes) -> None:
        db.delete(NUMBER.pack(0) + b"table/" + store.spec.name.encode())
        db.delete(NUMBER.pack(0) + b"next")

    await torn(store, tear)
    assert (store.table.entry.number, await store.values()) == (2, {})


async def test_a_dedicated_table_is_mended_too(store: Store) -> None:
    store.spec = await store.add_table("kv/dedicated", dedicated=True)
    await fill(store)
    before = await store.rows()

    def tear(db: Rdict, prefix: bytes) -> None:
        db.get_column_family("t2").delete(prefix + HEAD + HEADER)

    assert await torn(store, tear) == 1
    assert await store.rows() == before


async def test_a_dedicated_table_whose_family_is_lost_is_empty(store: Store) -> None:
    store.spec = await store.add_table("kv/dedicated", dedicated=True)
    await fill(store)
    await torn(store, lambda db, prefix: db.drop_column_family("t2"))
    assert await store.values() == {}


async def test_a_repair_after_the_loss_of_a_table_file_serves_what_is_left(store: Store, tmp_path: Path) -> None:
    """The first table file has items; the second, which is damaged, the header that knows of all of them."""
    await store.send(store.write(at=0, puts={b"%04d" % key: Put(b"value") for key in range(10)}))
    store.flush()
    kept = {path.name for path in list_tables(store.folder)}
    await store.put(b"9999", b"value", at=1)
    store.flush()
    await store.rocks.stop()
    (lost,) = [path for path in list_tables(store.folder) if path.name not in kept]
    overwrite(lost, 0.0, b"\xff" * 30)
    shutil.copytree(store.folder, tmp_path / "refused")
    refused = store.unstarted(str(tmp_path / "refused"))
    with pytest.raises(DataLoss):
        await read_all(refused, store)
    assert repair(store.folder, accept_loss=True).method == "tables"
    await store.open()
    assert await store.values() == {b"%04d" % key: b"value" for key in range(10)}


async def read_all(engine: RocksRecords, store: Store) -> None:
    await engine.start()
    try:
        await engine.read(store.spec.name, RECORD, ALL, DEFAULT_BUDGET, store.at(None))
    finally:
        await engine.stop()


def list_tables(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.sst"))
