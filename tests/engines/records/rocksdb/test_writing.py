from __future__ import annotations

import pytest
from tests.engines.records.rocksdb.store import Store

from soundstage.core import version
from soundstage.core.errors import Exhausted
from soundstage.engines.records.port import TOMBSTONES_MAX
from soundstage.engines.records.rocksdb.rowkeys import HEAD, HEADER, ITEMS, RANGE
from soundstage.engines.records.rocksdb.writing import FEW_ROWS
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD


def rests(store: Store) -> list[bytes]:
    """The rows of the record, without what they all begin with."""
    prefix = store.prefix()
    return [row_key[len(prefix) :] for row_key in store.stored() if row_key.startswith(prefix)]


async def fill(store: Store, count: int, at: int = 0) -> None:
    await store.send(store.write(at=at, puts={b"%04d" % key: Put(b"value") for key in range(count)}))


async def test_a_put_is_a_header_and_a_row(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    assert rests(store) == [HEAD + HEADER, ITEMS + b"key"]
    assert store.due() == {}


async def test_a_row_is_the_cell_that_was_put(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    assert store.stored()[store.prefix() + ITEMS + b"key"] == version.put(store.at(0), "token", b"value")


async def test_the_same_write_again_writes_nothing_and_flushes_nothing(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    before = store.disk.writes, store.disk.flushes
    await store.put(b"key", b"value", at=0)
    assert (store.disk.writes, store.disk.flushes) == before


async def test_an_older_write_writes_nothing(store: Store) -> None:
    await store.put(b"key", b"value", at=1)
    writes = store.disk.writes
    await store.put(b"key", b"older", at=0)
    assert store.disk.writes == writes


async def test_an_older_write_of_another_key_leaves_the_header(store: Store) -> None:
    await store.put(b"b", b"value", at=1)
    before = store.table.header(store.prefix())
    await store.put(b"b", b"older", at=0)
    assert store.table.header(store.prefix()) is before


async def test_everything_of_a_call_is_one_write(store: Store) -> None:
    writes = store.disk.writes
    await store.send(
        store.write(
            at=0,
            puts={b"%d" % key: Put(b"v", expires_us=store.at(10)) for key in range(100)},
            markers=[b"x"],
            ranges=[(b"y", b"z")],
        )
    )
    assert store.disk.writes - writes == 1


@pytest.mark.parametrize("count", [1, FEW_ROWS, FEW_ROWS + 1, 1_000])
@pytest.mark.parametrize("kind", ["record", "range"])
async def test_a_delete_of_all_leaves_no_row_however_many(store: Store, count: int, kind: str) -> None:
    await fill(store, count)
    await (store.delete_all(at=1) if kind == "record" else store.delete_range(b"", None, at=1))
    assert [rest for rest in rests(store) if rest.startswith(ITEMS)] == []


async def test_a_delete_of_a_range_leaves_the_rows_beside_it(store: Store) -> None:
    await fill(store, 300)
    await store.delete_range(b"0100", b"0200", at=1)
    left = [rest for rest in rests(store) if rest.startswith(ITEMS)]
    assert left == [ITEMS + b"%04d" % key for key in range(300) if not 100 <= key < 200]


async def test_a_delete_that_comes_late_leaves_rows_for_the_sweeper(store: Store) -> None:
    await fill(store, 3)
    await store.put(b"newer", b"value", at=2)
    await store.delete_all(at=1)
    assert len([rest for rest in rests(store) if rest.startswith(ITEMS)]) == 4
    assert await store.values() == {b"newer": b"value"}


async def test_a_delete_and_a_put_of_one_call_are_resolved_by_their_versions(store: Store) -> None:
    await fill(store, 3)
    await store.send(store.write(at=1, puts={b"0001": Put(b"new")}, whole=True))
    assert await store.values() == {}
    await store.reopen()
    assert await store.values() == {}


async def test_ranges_are_rows_by_their_start(store: Store) -> None:
    await store.delete_range(b"a", b"c", at=0)
    await store.delete_range(b"e", None, at=0)
    assert rests(store) == [HEAD + HEADER, HEAD + RANGE + b"a", HEAD + RANGE + b"e"]


async def test_ranges_that_one_replaces_go(store: Store) -> None:
    for start, end in ((b"a", b"b"), (b"c", b"d"), (b"e", b"f")):
        await store.delete_range(start, end, at=0)
    await store.delete_range(b"", None, at=1)
    assert rests(store) == [HEAD + HEADER, HEAD + RANGE]


async def test_a_delete_of_the_record_takes_its_ranges_along(store: Store) -> None:
    await store.delete_range(b"a", b"b", at=0)
    await store.delete_all(at=1)
    assert rests(store) == [HEAD + HEADER]


async def test_trimming_one_end_over_and_over_keeps_one_range(store: Store) -> None:
    for number in range(30):
        await store.put(b"%04d" % number, b"value", at=2 * number)
        await store.delete_range(b"", b"%04d" % number, at=2 * number + 1)
    assert rests(store) == [HEAD + HEADER, HEAD + RANGE, ITEMS + b"0029"]


async def test_more_ranges_than_the_limit_are_refused_and_nothing_is_written(store: Store) -> None:
    spans = [(b"%05d" % (2 * at), b"%05d" % (2 * at + 1)) for at in range(TOMBSTONES_MAX)]
    await store.send(store.write(at=0, ranges=spans))
    before = store.stored()
    with pytest.raises(Exhausted):
        await store.delete_range(b"z", None, at=1)
    assert store.stored() == before


async def test_what_expires_or_was_deleted_is_planned(store: Store) -> None:
    await store.put(b"a", b"", at=0, expires=5)
    await store.delete(b"b", at=0)
    await store.delete_range(b"c", b"d", at=0)
    assert len(store.due()) == 3
    await store.delete_all(at=0, record=b"other")
    assert len(store.due()) == 4


async def test_what_was_planned_and_put_again_without_end_stays_planned_once(store: Store) -> None:
    await store.put(b"a", b"", at=0, expires=5)
    await store.put(b"a", b"", at=1)
    assert len(store.due()) == 1


async def test_the_header_keeps_where_rows_may_lie(store: Store) -> None:
    for key, at in ((b"m", 0), (b"c", 1), (b"x", 2)):
        await store.put(key, b"value", at=at)
    header = store.table.header(store.prefix())
    assert header is not None
    assert (header.low, header.high) == (b"c", b"x\0")


async def test_the_header_of_the_store_is_that_of_the_memory(store: Store) -> None:
    await fill(store, 5)
    await store.delete_range(b"0001", b"0003", at=1)
    await store.put(b"9", b"value", at=3)
    await store.delete_all(at=2)
    remembered = store.table.header(store.prefix())
    await store.reopen()
    assert store.table.header(store.prefix()) == remembered


async def test_a_write_that_the_disk_did_not_take_is_not_remembered(store: Store) -> None:
    await store.put(b"key", b"value", at=0)
    before = store.table.header(store.prefix())
    store.disk.stalls = 10_000
    with pytest.raises(Exhausted):
        await store.put(b"key", b"later", at=1)
    assert store.table.header(store.prefix()) is before
    assert await store.values(RECORD) == {b"key": b"value"}
