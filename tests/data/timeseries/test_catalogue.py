"""The catalogue of slices: who asks twice, two at once, and what is left of a process that died half-way."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.data.timeseries.conftest import DAY, NOW, H

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, Exhausted, InvalidArgument, NotFound
from soundstage.core.hlc import TokenClock
from soundstage.data.timeseries import catalogue as module
from soundstage.data.timeseries.catalogue import HEAD, PARTITION, Catalogue
from soundstage.data.timeseries.config import Layout
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import TableSpec
from soundstage.runtime.leases import LeaseLost
from soundstage.runtime.system_table import SystemTable

WIDE = Layout(DAY, H, 2)
NARROW = Layout(6 * H, H, 1)


class World:
    """One engine, and catalogues as several processes have them."""

    def __init__(self) -> None:
        self.environment: VirtualEnvironment = VirtualEnvironment()
        self.engine: MemoryRecords = MemoryRecords(self.environment)

    def table(self) -> SystemTable:
        return SystemTable(self.engine, "trips", TokenClock(self.environment), self.environment, "timeseries")

    def catalogue(self) -> Catalogue:
        return Catalogue(self.table(), self.engine, "timeseries/trips/1_")

    async def tables(self) -> list[str]:
        return [spec.name.rpartition("/")[2] for spec in await self.engine.tables() if spec.name.count("/") == 2]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.engine.start()
    await world.table().create()
    return world


def due(_: Slice) -> bool:
    return True


def fine() -> None:
    """Nobody else is at it."""


def spans(found: Catalogue) -> list[tuple[int, int]]:
    return [((each.start - NOW // DAY * DAY) // H, (each.end - NOW // DAY * DAY) // H) for each in found.slices]


async def test_what_is_covered_has_a_slice_and_its_table(world: World) -> None:
    found = world.catalogue()
    await found.cover([NOW, NOW + DAY, NOW + 1], WIDE, dedicated=False)
    assert spans(found) == [(0, 24), (24, 48)]
    assert await world.tables() == ["1_20231114_1", "1_20231115_2"]
    assert all(each.made for each in found.slices)


async def test_what_is_covered_already_is_looked_up_nowhere(world: World) -> None:
    found = world.catalogue()
    await found.cover([NOW], WIDE, dedicated=False)
    await world.engine.drop_table("timeseries/trips")
    await found.cover([NOW + H // 2], NARROW, dedicated=False)
    assert spans(found) == [(0, 24)]


async def test_of_many_that_are_covered_at_once_the_catalogue_changes_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = SystemTable.write

    async def counted(self: SystemTable, partition: str, changes: Any, *given: Any, **named: Any) -> Any:
        written.append(len(changes))
        return await write(self, partition, changes, *given, **named)

    monkeypatch.setattr(SystemTable, "write", counted)
    found = world.catalogue()
    await found.cover([NOW + day * DAY for day in range(50)], WIDE, dedicated=False)
    assert all(each.made for each in found.slices)
    assert written == [51, 51]


async def test_tables_of_their_own_files_are_asked_for(world: World) -> None:
    await world.catalogue().cover([NOW], WIDE, dedicated=True)
    assert [spec.dedicated for spec in await world.engine.tables() if spec.name.count("/") == 2] == [True]


async def test_two_who_make_slices_of_different_settings_at_once_agree(world: World) -> None:
    one, other = world.catalogue(), world.catalogue()
    await asyncio.gather(
        one.cover([NOW, NOW + DAY], WIDE, dedicated=False),
        other.cover([NOW + H, NOW + 2 * DAY], NARROW, dedicated=False),
    )
    await asyncio.gather(one.refresh(), other.refresh())
    assert one.slices == other.slices
    for left, right in zip(one.slices, one.slices[1:], strict=False):
        assert left.end <= right.start
    assert len(await world.tables()) == len(one.slices)


async def test_what_another_made_is_known_after_a_look(world: World) -> None:
    one, other = world.catalogue(), world.catalogue()
    await other.refresh()
    await one.cover([NOW], WIDE, dedicated=False)
    assert other.slices == ()
    await other.refresh()
    assert other.slices == one.slices


async def test_a_slice_whose_maker_died_before_its_table_is_made_by_the_next_that_needs_it(world: World) -> None:
    one, other = world.catalogue(), world.catalogue()
    await one.cover([NOW], WIDE, dedicated=False)
    await world.engine.drop_table(one.slices[0].table)
    entry = await world.table().get(PARTITION, "slice/000000000001")
    assert entry is not None
    unmade = entry.value.replace(b"\xc3", b"\xc2", 1)
    await world.table().write(PARTITION, {"slice/000000000001": unmade}, {})
    await other.refresh()
    assert [each.made for each in other.slices] == [False]
    await other.cover([NOW], WIDE, dedicated=False)
    assert [each.made for each in other.slices] == [True]
    assert len(await world.tables()) == 1


async def test_what_is_due_is_gone_with_its_table(world: World) -> None:
    found = world.catalogue()
    await found.cover([NOW, NOW + DAY], WIDE, dedicated=False)
    assert await found.drop(lambda each: each.start < NOW, fine) == 1
    assert spans(found) == [(24, 48)]
    assert await world.tables() == ["1_20231115_2"]


async def test_a_drop_that_was_cut_short_is_finished_by_the_next_and_shows_nothing_meanwhile(world: World) -> None:
    one, other, checks = world.catalogue(), world.catalogue(), []

    def until_marked() -> None:
        checks.append(None)
        if len(checks) > 1:
            raise LeaseLost("lost")

    await one.cover([NOW], WIDE, dedicated=False)
    with pytest.raises(LeaseLost):
        await one.drop(due, until_marked)
    await other.refresh()
    assert (other.slices, len(await world.tables())) == ((), 1)
    assert await other.drop(lambda _: False, fine) == 1
    assert await world.tables() == []


async def test_numbers_and_tables_are_never_given_twice(world: World) -> None:
    found = world.catalogue()
    await found.cover([NOW], WIDE, dedicated=False)
    await found.drop(due, fine)
    await found.cover([NOW], WIDE, dedicated=False)
    assert await world.tables() == ["1_20231114_2"]


async def test_tables_that_no_slice_has_go_and_others_stay(world: World) -> None:
    for name in ("1_20200101_9", "2_20200101_1"):
        await world.engine.create_table(TableSpec(name=f"timeseries/trips/{name}"))
    await world.catalogue().drop(due, fine)
    assert await world.tables() == ["2_20200101_1"]


async def test_the_next_slice_is_made_ahead_once(world: World) -> None:
    found = world.catalogue()
    assert not await found.prepare(NOW, WIDE, dedicated=False)
    await found.cover([NOW], WIDE, dedicated=False)
    assert await found.prepare(NOW, WIDE, dedicated=False)
    assert not await found.prepare(NOW, WIDE, dedicated=False)
    assert spans(found) == [(0, 24), (24, 48)]


async def test_where_tables_take_long_those_of_now_and_next_are_made_before_anybody_writes(world: World) -> None:
    found, midday = world.catalogue(), NOW // DAY * DAY + DAY // 2
    assert await found.prepare(midday, WIDE, dedicated=True)
    assert not await found.prepare(midday, WIDE, dedicated=True)
    assert spans(found) == [(0, 24), (24, 48)]


async def test_too_many_slices_are_refused_and_none_is_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICES_MAX", 3)
    found = world.catalogue()
    with pytest.raises(Exhausted, match="more than 3 slices"):
        await found.cover([NOW + day * DAY for day in range(4)], WIDE, dedicated=False)
    assert await world.tables() == []


async def test_a_table_that_should_be_there_and_is_not_is_told(world: World) -> None:
    found = world.catalogue()
    await found.cover([NOW], WIDE, dedicated=False)
    with pytest.raises(DataLoss, match="is missing"):
        await found.check_kept(found.slices[0].table, NotFound("no table"))
    await found.check_kept("timeseries/trips/1_20200101_7", NotFound("no table"))


async def test_a_slice_of_a_newer_release_is_refused(world: World) -> None:
    found = world.catalogue()
    await found.cover([NOW], WIDE, dedicated=False)
    entry = await world.table().get(PARTITION, "slice/000000000001")
    assert entry is not None
    newer = msgspec.structs.replace(found.slices[0], format=3)
    await world.table().write(
        PARTITION, {"slice/000000000001": msgspec.msgpack.encode(newer), HEAD: b"\x92\x01\x01"}, {}
    )
    with pytest.raises(InvalidArgument, match="has the format 3"):
        await found.refresh()
