from __future__ import annotations

import pytest
from tests.engines.records.rocksdb.store import Store

from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.port import Budget
from soundstage.engines.records.rocksdb.rowkeys import ITEMS
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD

RECORDS = [b"record-%02d" % number for number in range(40)]


@pytest.fixture
async def filled(store: Store) -> Store:
    for number, record in enumerate(RECORDS):
        await store.send(store.write(at=number, puts={b"%d" % key: Put(b"v") for key in range(3)}), record)
    return store


async def test_records_come_in_the_order_of_their_row_keys(filled: Store) -> None:
    found = [partition for partition, _ in (await filled.walk()).partitions]
    assert found == sorted(RECORDS, key=filled.prefix)


async def test_a_walk_in_small_pages_meets_every_row_once(filled: Store) -> None:
    rows: list[tuple[bytes, bytes]] = []
    position: bytes | None = None
    pages = 0
    while True:
        page = await filled.walk(Budget(rows=2), position)
        rows += [(partition, key) for partition, found in page.partitions for key, _ in found]
        position, pages = page.position, pages + 1
        if position is None:
            break
    assert sorted(rows) == sorted((record, b"%d" % key) for record in RECORDS for key in range(3))
    assert pages >= len(RECORDS)


async def test_a_position_names_the_row_to_go_on_with_but_not_the_table(filled: Store) -> None:
    page = await filled.walk(Budget(rows=2))
    first = page.partitions[0][0]
    assert page.position == (filled.prefix(first) + ITEMS + b"2")[4:]


async def test_a_walk_goes_on_where_a_record_was_that_is_gone(filled: Store) -> None:
    page = await filled.walk(Budget(rows=3))
    for record in RECORDS:
        await filled.delete_all(at=100, record=record)
    await filled.put(b"key", b"v", at=200, record=RECORDS[0])
    rest = await filled.walk(position=page.position)
    assert [partition for partition, _ in rest.partitions] in ([RECORDS[0]], [])


async def test_a_walk_remembers_no_headers(filled: Store) -> None:
    await filled.reopen()
    await filled.walk()
    assert filled.table.headers == {}


async def test_a_walk_sees_nothing_of_other_tables(filled: Store) -> None:
    first, filled.spec = filled.spec, await filled.add_table("kv/second")
    assert (await filled.walk()).partitions == []
    await filled.put(b"key", b"value", at=0)
    assert [partition for partition, _ in (await filled.walk()).partitions] == [RECORD]
    filled.spec = first
    assert len((await filled.walk()).partitions) == len(RECORDS)


@pytest.mark.parametrize(
    "position", [b"", b"garbage", b"12345678", b"12345678abc", b"12345678abc\0\0h", b"12345678abc\0\3", b"\xff" * 30]
)
async def test_a_position_that_no_walk_returned_is_refused(filled: Store, position: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await filled.walk(position=position)
    assert caught.value.field == "position"


async def test_a_position_of_another_segment_is_refused(filled: Store) -> None:
    page = await filled.rocks.walk(filled.spec.name, 0, 2, None, Budget(rows=1), filled.at(None))
    with pytest.raises(InvalidArgument, match="of another segment"):
        await filled.rocks.walk(filled.spec.name, 1, 2, page.position, Budget(), filled.at(None))


async def test_records_without_live_rows_cost_a_step_each_and_are_left_out(filled: Store) -> None:
    for record in RECORDS[1:]:
        await filled.delete_all(at=100, record=record)
    assert [partition for partition, _ in (await filled.walk()).partitions] == RECORDS[:1]
