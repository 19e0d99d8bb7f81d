"""One stream of events out of several partitions."""

from __future__ import annotations

from random import Random

import pytest
from tests.data.timeseries.conftest import NOW, event

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import TooLarge
from soundstage.data.timeseries import partitions as module
from soundstage.data.timeseries.events import records_of
from soundstage.data.timeseries.partitions import Found, PartitionReader
from soundstage.data.timeseries.placement import event_of, key_of_time, span_of
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Batch, Budget, Row, TableSpec

EVERYTHING = span_of(-(2**63), key_of_time(2**63 - 1))
NAMES = [b"p0", b"p1", b"p2"]


@pytest.fixture
async def engine() -> MemoryRecords:
    environment = VirtualEnvironment()
    engine = MemoryRecords(environment)
    await engine.start()
    await engine.create_table(TableSpec(name="t"))
    return engine


async def put(engine: MemoryRecords, partition: bytes, rows: list[Row]) -> None:
    await engine.apply("t", partition, Batch(cells=rows))


def size_of(rows: list[Row]) -> int:
    return sum(len(key) + len(cell) for key, cell in rows)


async def drained(reader: PartitionReader, budget: Budget, most: int = 7) -> list[Found]:
    found: list[Found] = []
    while not reader.is_over:
        if reader.is_dry:
            await reader.fill(budget, 1)
            continue
        prefix = reader.peek()
        popped = reader.pop(most)
        assert popped[0][0] == prefix
        assert len(popped) <= most
        found += popped
    return found


@pytest.mark.parametrize("most", [1, 3, 1_000])
@pytest.mark.parametrize("rows", [1, 2, 3, 1_000])
@pytest.mark.parametrize("seed", range(4))
async def test_events_come_out_in_order_and_whole_wherever_they_lie(
    engine: MemoryRecords, rows: int, seed: int, most: int
) -> None:
    chance, expected = Random(seed), list[Found]()
    for number in range(30):
        items = {f"k{index}": b"v" for index in range(chance.randint(1, 4))}
        (record,) = records_of([event(NOW - chance.randint(0, 5), f"e{number}", "ada", **items)], ())
        await put(engine, chance.choice(NAMES), record.rows)
        expected.append((record.prefix, record.rows, size_of(record.rows)))
    found = await drained(PartitionReader(engine, "t", NAMES, EVERYTHING), Budget(rows=rows), most)
    assert found == sorted(expected)


async def test_a_span_begins_and_ends_within_partitions(engine: MemoryRecords) -> None:
    for number in range(6):
        await put(engine, NAMES[number % 3], records_of([event(NOW - number, f"e{number}")], ())[0].rows)
    reader = PartitionReader(engine, "t", NAMES, span_of(NOW - 4, key_of_time(NOW - 2)))
    assert [event_of(prefix)[1] for prefix, *_ in await drained(reader, Budget())] == [b"e2", b"e3", b"e4"]


async def test_a_reader_of_nothing_is_over(engine: MemoryRecords) -> None:
    reader = PartitionReader(engine, "t", [], EVERYTHING)
    assert (reader.is_over, reader.is_dry, reader.peek(), len(reader)) == (True, False, None, 0)


async def test_only_dry_partitions_are_read_again(engine: MemoryRecords) -> None:
    for number in range(9):
        await put(engine, NAMES[0], records_of([event(NOW - number, f"e{number}")], ())[0].rows)
    await put(engine, NAMES[1], records_of([event(NOW - 100, "last")], ())[0].rows)
    reader = PartitionReader(engine, "t", NAMES, EVERYTHING)
    await reader.fill(Budget(rows=4), 1)
    assert reader.read == 3
    assert len(reader.pop(10)) == 3
    assert reader.is_dry
    await reader.fill(Budget(rows=4), 1)
    assert reader.read == 4


async def test_an_event_that_is_too_large_to_be_held_is_refused(
    engine: MemoryRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVENT_MAX_BYTES", 1_000)
    await put(engine, NAMES[0], records_of([event(NOW, k=bytes(2_000))], ())[0].rows)
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        await drained(PartitionReader(engine, "t", NAMES, EVERYTHING), Budget(rows=1))


async def test_of_large_events_side_by_side_one_is_held_at_a_time(
    engine: MemoryRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVENT_MAX_BYTES", 20_000)
    records: list[Found] = []
    for number, name in enumerate(NAMES):
        items = {f"k{index}": bytes(1_000) for index in range(10)}
        (record,) = records_of([event(NOW - number, f"e{number}", "ada", **items)], ())
        await put(engine, name, record.rows)
        records.append((record.prefix, record.rows, size_of(record.rows)))
    reader, held, found = PartitionReader(engine, "t", NAMES, EVERYTHING), 0, list[Found]()
    while not reader.is_over:
        if reader.is_dry:
            await reader.fill(Budget(rows=1), 1)
            held = max(held, sum(part.tail_bytes for part in reader._parts))
        else:
            found += reader.pop(10)
    assert found == records
    # One row of each of the others.
    assert held < 10 * 1_100 + 2 * 1_100
