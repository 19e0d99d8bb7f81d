from __future__ import annotations

import msgspec
import pytest
from rocksdict import WriteBatch
from tests.engines.records.rocksdb.store import Store

from soundstage.core.errors import AlreadyExists, Exhausted, InvalidArgument, NotFound
from soundstage.engines.records.port import TableSpec
from soundstage.engines.records.rocksdb.rowkeys import NUMBER
from soundstage.engines.records.rocksdb.tables import TABLE_FORMAT, Entry, entries_of, family_name
from soundstage.engines.rocks import database as database_module

NAME = "kv/other"


def entry_of(store: Store, name: str = NAME) -> Entry:
    return next(entry for entry in entries_of(store.database.rdict) if entry.spec.name == name)


def write_entry(store: Store, entry: Entry) -> None:
    """The catalogue says so, as an older or newer release may have left it."""
    batch = WriteBatch(raw_mode=True)
    batch.put(NUMBER.pack(0) + b"table/" + entry.spec.name.encode(), msgspec.msgpack.encode(entry))
    store.database.write(batch)


def test_an_entry_is_pinned() -> None:
    assert msgspec.msgpack.encode(Entry(7, TableSpec(name="kv/n"))) == (
        b"\x85\xa6number\x07\xa4spec\x87\xa4name\xa4kv/n\xabconditional\xc2\xa9key_order\xa3asc\xa9dedicated\xc2"
        b"\xaamax_lag_us\xce#\xc3F\x00\xb1delete_ttl_min_us\xce\xd6\x93\xa4\x00\xb1delete_ttl_max_us"
        b"\xcf\x00\x00\x00\x14\x1d\xd7`\x00\xaepurge_floor_us\xc0\xa6hidden\xc2\xa6format\x01"
    )


def test_an_entry_of_a_table_that_is_filled_has_its_fence() -> None:
    filled = Entry(7, TableSpec(name="kv/n"), admitted=5)
    assert msgspec.msgpack.encode(filled).endswith(b"\xa6format\x01\xa8admitted\x05")
    assert (filled.fence, Entry(7, TableSpec(name="kv/n")).fence) == (5, None)


async def test_tables_are_numbered_one_after_the_other(store: Store) -> None:
    for name in ("kv/b", "kv/a"):
        await store.add_table(name)
    assert [entry_of(store, name).number for name in (store.spec.name, "kv/b", "kv/a")] == [1, 2, 3]


async def test_a_number_is_never_given_to_another_table(store: Store) -> None:
    await store.add_table(NAME)
    await store.rocks.drop_table(NAME)
    await store.reopen()
    await store.add_table(NAME)
    assert entry_of(store).number == 3


async def test_a_table_made_anew_has_nothing_of_the_one_before(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    await store.rocks.drop_table(store.spec.name)
    await store.rocks.create_table(store.spec)
    assert await store.values() == {}


async def test_settings_that_may_change_are_kept_over_a_restart(store: Store) -> None:
    changed = msgspec.structs.replace(store.spec, max_lag_us=1)
    await store.rocks.create_table(changed)
    await store.reopen()
    assert await store.rocks.tables() == [changed]


@pytest.mark.parametrize("field", ["conditional", "key_order", "dedicated"])
async def test_settings_that_are_fixed_may_not_change(store: Store, field: str) -> None:
    other: object = "desc" if field == "key_order" else True
    with pytest.raises(AlreadyExists) as caught:
        await store.rocks.create_table(msgspec.structs.replace(store.spec, **{field: other}))
    assert caught.value.field == field


async def test_creating_a_table_again_writes_nothing(store: Store) -> None:
    writes = store.disk.writes
    await store.rocks.create_table(store.spec)
    assert store.disk.writes == writes


async def test_a_table_of_a_newer_format_refuses_the_folder(store: Store) -> None:
    write_entry(store, Entry(2, TableSpec(name=NAME), format=TABLE_FORMAT + 1))
    await store.rocks.stop()
    with pytest.raises(InvalidArgument, match="the table kv/other has the format 2; this release knows 1") as caught:
        await store.unstarted().start()
    assert caught.value.hint == "open it with the release that wrote it, or a newer one"


async def test_the_folder_is_free_after_such_a_refusal(store: Store) -> None:
    write_entry(store, Entry(2, TableSpec(name=NAME), format=TABLE_FORMAT + 1))
    await store.rocks.stop()
    with pytest.raises(InvalidArgument):
        await store.unstarted().start()
    with pytest.raises(InvalidArgument, match="the table kv/other"):
        await store.unstarted().start()


async def test_an_entry_without_a_format_is_of_the_first(store: Store) -> None:
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(Entry(2, TableSpec(name=NAME))))
    del old["format"]
    batch = WriteBatch(raw_mode=True)
    batch.put(NUMBER.pack(0) + b"table/" + NAME.encode(), msgspec.msgpack.encode(old))
    store.database.write(batch)
    assert entry_of(store).format == 1


# -- tables with column families of their own


async def test_a_dedicated_table_has_a_family_of_its_own(store: Store) -> None:
    await store.add_table(NAME, dedicated=True)
    assert family_name(entry_of(store).number) in store.database.families


async def test_a_dedicated_table_is_there_after_a_restart(store: Store) -> None:
    store.spec = await store.add_table(NAME, dedicated=True)
    await store.put(b"key", b"value", at=0)
    await store.delete_range(b"a", b"b", at=0)
    await store.reopen()
    assert await store.values() == {b"key": b"value"}


async def test_dropping_a_dedicated_table_drops_its_family(store: Store) -> None:
    store.spec = await store.add_table(NAME, dedicated=True)
    await store.put(b"key", b"value", at=0)
    await store.rocks.drop_table(NAME)
    assert store.database.families == {"default", "due"}


async def test_too_many_dedicated_tables_are_refused_and_leave_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "FAMILIES_MAX", 2)
    with pytest.raises(Exhausted, match="column families"):
        await store.add_table(NAME, dedicated=True)
    assert [spec.name for spec in await store.rocks.tables()] == [store.spec.name]
    await store.add_table(NAME)


async def test_a_family_of_a_creation_or_drop_that_was_cut_off_goes_at_the_next_start(store: Store) -> None:
    store.database.family("t99")
    await store.reopen()
    assert store.database.families == {"default", "due"}


async def test_families_of_other_ports_stay(store: Store) -> None:
    store.database.family("log")
    await store.reopen()
    assert "log" in store.database.families


# -- dropping


async def test_dropping_takes_the_rows_and_what_was_planned_for_them(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    await store.delete(b"other", at=0)
    await store.rocks.drop_table(store.spec.name)
    assert (store.stored(), store.due()) == ({}, {})


async def test_dropping_leaves_other_tables_as_they_were(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    await store.delete(b"other", at=0)
    spec = await store.add_table(NAME)
    before = store.stored(), store.due()
    await store.rocks.drop_table(spec.name)
    assert (store.stored(), store.due()) == before


async def test_dropping_gives_the_disk_space_back(store: Store) -> None:
    for number in range(300):
        await store.put(b"key", bytes(store.environment.random.randbytes(10_000)), at=number, record=b"%d" % number)
    store.flush()
    before = store.database.rdict.property_int_value("rocksdb.live-sst-files-size") or 0
    await store.rocks.drop_table(store.spec.name)
    await store.database.idle()
    after = store.database.rdict.property_int_value("rocksdb.live-sst-files-size") or 0
    assert before > 3_000_000
    assert after < before / 20


async def test_dropping_costs_the_same_for_any_size(store: Store) -> None:
    for number in range(500):
        await store.put(b"key", b"value", at=number, record=b"%d" % number)
    written = store.disk.writes
    await store.rocks.drop_table(store.spec.name)
    assert store.disk.writes - written == 1


async def test_a_dropped_table_is_gone_after_a_restart(store: Store) -> None:
    await store.rocks.drop_table(store.spec.name)
    await store.reopen()
    assert await store.rocks.tables() == []


# -- what a restore left behind


async def test_a_hidden_table_serves_nobody(store: Store) -> None:
    await store.database.atomically(store.catalogue.create, TableSpec(name=NAME), True)
    assert [spec.name for spec in await store.rocks.tables()] == [store.spec.name]
    with pytest.raises(NotFound):
        await store.rocks.get(NAME, b"record", [b"key"], 0)


async def test_a_hidden_table_cannot_be_made_by_others(store: Store) -> None:
    await store.database.atomically(store.catalogue.create, TableSpec(name=NAME), True)
    with pytest.raises(AlreadyExists, match="is being restored"):
        await store.rocks.create_table(TableSpec(name=NAME))


@pytest.mark.parametrize("dedicated", [False, True])
async def test_a_hidden_table_goes_at_the_next_start(store: Store, dedicated: bool) -> None:
    await store.database.atomically(store.catalogue.create, TableSpec(name=NAME, dedicated=dedicated), True)
    await store.reopen()
    assert (store.catalogue.by_name.keys(), store.database.families) == ({store.spec.name}, {"default", "due"})


async def test_nothing_in_a_hidden_table_is_purged(store: Store) -> None:
    table = await store.database.atomically(store.catalogue.create, TableSpec(name=NAME), True)
    assert table.entry.purge_floor_us == 0


# -- headers


async def test_a_header_that_was_looked_up_is_remembered(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    await store.reopen()
    found = store.table.header(store.prefix())
    assert found is not None
    assert store.table.headers == {store.prefix(): found}


async def test_that_there_is_no_header_is_remembered_too(store: Store) -> None:
    assert store.table.header(store.prefix(b"nobody")) is None
    assert store.table.headers == {store.prefix(b"nobody"): None}


async def test_a_peek_is_not_remembered(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    await store.reopen()
    assert store.table.peek(store.prefix()) == store.table.header(store.prefix())
    assert store.table.peek(store.prefix(b"nobody")) is None
    assert list(store.table.headers) == [store.prefix()]


async def test_a_header_is_read_with_its_range_tombstones(store: Store) -> None:
    await store.delete_range(b"a", b"c", at=0, token="older")
    await store.delete_range(b"b", None, at=1, token="newer")
    before = store.table.header(store.prefix())
    await store.reopen()
    after = store.table.header(store.prefix())
    assert after == before
    assert after is not None
    assert [(each.start, each.end) for each in after.ranges] == [(b"a", b"b"), (b"b", None)]


async def test_all_tables_share_one_budget_of_memory(store: Store) -> None:
    await store.add_table(NAME)
    assert store.catalogue.by_name[NAME].headers is store.table.headers


async def test_a_table_that_was_let_go_keeps_nothing_open(store: Store) -> None:
    table = store.table
    await store.rocks.stop()
    assert (table.dropped, table.handle, table.db) == (True, None, None)
