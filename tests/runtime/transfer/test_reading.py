"""Going through what tables keep, with writes that come in between."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.runtime.transfer.conftest import inline

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Batch, RangeDelete, Records, TableSpec
from soundstage.runtime.transfer import reading
from soundstage.runtime.transfer.format import packed, unpacker
from soundstage.runtime.transfer.reading import Place, Reading, record_hash, transfers_of
from soundstage.runtime.transfer.tally import Tally

AT = 1_700_000_000_000_000
LARGE = 10_000
"""Rows of a record that takes several pages."""


@pytest.fixture
async def engine() -> MemoryRecords:
    engine = MemoryRecords(VirtualEnvironment())
    await engine.start()
    for name in ("a", "b"):
        await engine.create_table(TableSpec(name=name))
    return engine


async def put(engine: Records, table: str, partition: bytes, keys: Sequence[bytes], at: int = AT) -> None:
    for begin in range(0, len(keys), 5_000):
        cells = [(key, version.put(at, "t", b"value")) for key in keys[begin : begin + 5_000]]
        await engine.apply(table, partition, Batch(cells=cells))


async def put_large(engine: Records, partition: bytes = b"large") -> None:
    await put(engine, "a", partition, [b"%06d" % key for key in range(LARGE)])


async def read(
    engine: MemoryRecords, place: Place | None = None, passing_over: frozenset[bytes] = frozenset()
) -> Place:
    """Where a reading of both tables ends."""
    found = Reading(engine, ["a", "b"], place or Place(AT), inline, passing_over)
    async for _ in found.pages():
        pass
    return found.place


async def delete_range(engine: Records, partition: bytes, at: int = AT + 1) -> None:
    await engine.apply("a", partition, Batch(ranges=[RangeDelete(b"000000", b"000010", version.delete(at, "t"))]))


async def test_every_table_is_counted(engine: MemoryRecords) -> None:
    await put(engine, "a", b"one", [b"k", b"l"])
    await put(engine, "b", b"one", [b"k"])
    tally = (await read(engine)).tally
    assert (tally.records, tally.items, tally.size) == (2, 3, 3 * (1 + len(version.put(AT, "t", b"value"))))


async def test_a_record_over_several_pages_is_one(engine: MemoryRecords) -> None:
    await put_large(engine)
    assert ((await read(engine)).tally.records, (await read(engine)).tally.items) == (1, LARGE)


async def test_nothing_adds_up_to_nothing(engine: MemoryRecords) -> None:
    assert (await read(engine)).tally == Tally()


async def test_a_reading_goes_on_from_its_place(engine: MemoryRecords) -> None:
    await put_large(engine)
    await put(engine, "b", b"one", [b"k"])
    whole = await read(engine)
    places: list[bytes] = []
    going = Reading(engine, ["a", "b"], Place(AT), inline)
    async for _ in going.pages():
        places.append(packed(going.place))
    for place in places:
        assert (await read(engine, unpacker(Place)(place))).tally == whole.tally


async def test_writes_behind_the_reading_do_not_disturb_it(engine: MemoryRecords) -> None:
    await put_large(engine)
    whole = await read(engine)
    going = Reading(engine, ["a", "b"], Place(AT), inline)
    async for _ in going.pages():
        await put(engine, "a", b"large", [b"000000"], at=AT + 5)
    assert going.place.tally == whole.tally
    assert going.place.unsteady == []


async def test_a_record_that_is_deleted_from_meanwhile_is_not_added_up(engine: MemoryRecords) -> None:
    await put_large(engine)
    await put(engine, "a", b"small", [b"k"])
    going = Reading(engine, ["a", "b"], Place(AT), inline)
    first = True
    async for page in going.pages():
        if first and page.holdings[-1].partition == b"large":
            await delete_range(engine, b"large")
            first = False
    assert going.place.unsteady == [record_hash(0, b"large")]
    assert going.place.tally.items == 1
    after = await read(engine, passing_over=frozenset(going.place.unsteady))
    assert after.tally.agrees(going.place.tally)


async def test_too_many_of_those_are_refused(engine: MemoryRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "UNSTEADY_MAX", 0)
    await put_large(engine)

    async def disturbed() -> None:
        async for _ in Reading(engine, ["a", "b"], Place(AT), inline).pages():
            await delete_range(engine, b"large")

    with pytest.raises(Unavailable, match="deleted from while"):
        await disturbed()


def test_an_engine_that_cannot_be_read_so_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="lacks the capability 'transfer'") as caught:
        transfers_of(object(), "films", "name")  # type: ignore[arg-type]
    assert caught.value.field == "name"
