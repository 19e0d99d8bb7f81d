from __future__ import annotations

import asyncio

import pytest
from tests.engines.records.rocksdb.store import Store

from soundstage.engines.records.port import TableStatistics
from soundstage.engines.records.rocksdb import statistics as module
from soundstage.testing.model import Put


async def measured(store: Store) -> TableStatistics:
    return await store.rocks.statistics(store.spec.name)


async def test_a_small_table_is_counted_exactly(store: Store) -> None:
    for number in range(10):
        await store.send(
            store.write(at=number, puts={b"key": Put(b"v" * 100), b"other": Put(b"")}), b"record-%d" % number
        )
    await store.delete_all(at=100, record=b"record-0")
    await store.delete_range(b"a", b"b", at=100, record=b"record-1")
    await store.delete_range(b"c", b"d", at=101, record=b"record-1")
    found = await measured(store)
    assert (found.rows, found.partitions, found.tombstones) == (18, 10, 3)
    rows = [row for number in range(1, 10) for row in await store.rows(b"record-%d" % number)]
    assert found.bytes == sum(len(key) + len(cell) for key, cell in rows)
    assert found.histogram == {1: 1, 256: 9}


async def test_an_empty_table_has_nothing(store: Store) -> None:
    found = await measured(store)
    assert (found.rows, found.bytes, found.partitions, found.tombstones, found.histogram) == (0, 0, 0, 0, {})


async def test_a_large_table_is_estimated_from_a_sample(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_ROWS", 300)
    await asyncio.gather(
        *(store.put(b"key", b"value", at=number, record=b"record-%d" % number) for number in range(1_000))
    )
    found = await measured(store)
    assert 700 < found.rows < 1_300
    assert 700 < found.partitions < 1_300
    assert 700 < sum(found.histogram.values()) < 1_300


async def test_partitions_without_items_are_part_of_the_sample(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_ROWS", 10)
    for number in range(100):
        await store.delete_all(at=number, record=b"%d" % number)
    found = await measured(store)
    assert found.rows == 0
    assert 30 < found.tombstones < 300
