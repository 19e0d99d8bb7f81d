"""Slices whose making or dropping ends at any step of it: whoever comes next finds nothing half done for long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.data.timeseries.conftest import DAY, NOW, H
from tests.testing.kv.conftest import memory_opener, rocksdb_opener

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.hlc import TokenClock
from soundstage.data.timeseries.catalogue import Catalogue
from soundstage.data.timeseries.config import Layout
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import Records, TableSpec
from soundstage.runtime.system_table import SystemTable

WIDE = Layout(DAY, H, 2)
STEPS_MAX = 20

_processes = count()


class Died(Exception):
    """The process is gone."""


class Mortal(PassingRecords):
    """Dies at its change number `dies_at`: before it is made, or once it was."""

    def __init__(self, records: Records, dies_at: int, *, after: bool) -> None:
        super().__init__(records)
        self._left = dies_at
        self._after = after

    async def create_table(self, spec: TableSpec) -> None:
        self._step(after=False)
        await super().create_table(spec)
        self._step(after=True)

    async def drop_table(self, name: str) -> None:
        self._step(after=False)
        await super().drop_table(name)
        self._step(after=True)

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        self._step(after=False)
        stamp = await super().apply(table, *arguments, **named)
        self._step(after=True)
        return stamp

    def _step(self, *, after: bool) -> None:
        if after == self._after:
            self._left -= 1
            if self._left < 0:
                raise Died


@pytest.fixture(params=["memory", "rocksdb"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    opener = memory_opener() if request.param == "memory" else rocksdb_opener(tmp_path)
    opened = await opener(VirtualEnvironment(), "store")
    await table(opened).create()
    yield opened
    await opened.stop()


@pytest.fixture(params=[False, True], ids=["before", "after"])
def after(request: pytest.FixtureRequest) -> bool:
    """Whether the change at which a process dies is made."""
    return request.param


def table(records: Records) -> SystemTable:
    # No two processes draw the same tokens.
    environment = VirtualEnvironment(next(_processes))
    return SystemTable(records, "trips", TokenClock(environment), environment, "timeseries")


def catalogue(records: Records) -> Catalogue:
    """As a process has it that has just begun."""
    return Catalogue(table(records), records, "timeseries/trips/1_")


async def tables(engine: Records) -> set[str]:
    return {spec.name for spec in await engine.tables() if spec.name.count("/") == 2}


def nobody_else() -> None:
    """The lease is held."""


async def every_step(engine: Records, after: bool, doing: Callable[[Catalogue], Any], check: Callable[[], Any]) -> int:
    """`doing` was cut short at each of its steps, and `check` was well each time; how many steps there are."""
    for dies_at in range(STEPS_MAX):
        mortal: Any = Mortal(engine, dies_at, after=after)
        try:
            await doing(catalogue(mortal))
        except Died:
            await check()
            continue
        return dies_at
    raise AssertionError("it never ends")


async def test_slices_whose_making_was_cut_short_are_made_by_the_next_who_needs_them(
    engine: Records, after: bool
) -> None:
    day = NOW

    async def cover(found: Catalogue) -> None:
        await found.cover([day, day + DAY], WIDE, dedicated=False)

    async def made_by_another() -> None:
        nonlocal day
        found = catalogue(engine)
        await cover(found)
        assert {each.table for each in found.slices} == await tables(engine)
        assert all(each.made for each in found.slices)
        day += 2 * DAY

    # Both are written down, both tables are made, and both are said to be there.
    assert await every_step(engine, after, cover, made_by_another) == 4


async def test_slices_whose_making_was_cut_short_are_dropped_with_whatever_they_have(
    engine: Records, after: bool
) -> None:
    async def cover(found: Catalogue) -> None:
        await found.cover([NOW, NOW + DAY], WIDE, dedicated=False)

    async def gone() -> None:
        found = catalogue(engine)
        await found.drop(lambda _: True, nobody_else)
        assert (found.slices, await tables(engine)) == ((), set())

    assert await every_step(engine, after, cover, gone) == 4


async def test_a_drop_that_was_cut_short_shows_nothing_by_half_and_is_finished_by_the_next(
    engine: Records, after: bool
) -> None:
    days = [NOW - 2 * DAY, NOW - DAY]

    async def drop(found: Catalogue) -> None:
        await found.drop(lambda each: each.end <= NOW - NOW % DAY, nobody_else)

    async def finished() -> None:
        found = catalogue(engine)
        await found.refresh()
        # What is shown is there whole.
        assert {each.table for each in found.slices} <= await tables(engine)
        await drop(found)
        assert [each.start for each in found.slices] == [NOW // DAY * DAY]
        assert {each.table for each in found.slices} == await tables(engine)
        await found.cover(days, WIDE, dedicated=False)

    await catalogue(engine).cover([*days, NOW], WIDE, dedicated=False)
    # Both are marked; each loses its table, and is forgotten.
    assert await every_step(engine, after, drop, finished) == 5
