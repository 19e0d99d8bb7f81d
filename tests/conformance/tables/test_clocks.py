"""Clocks that disagree: of processes that change one table, whose snapshots have the time of whoever made them."""

from __future__ import annotations

import datetime
import time
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from types import SimpleNamespace

import pyiceberg.table.snapshots
import pyiceberg.table.update
import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import NotFound
from soundstage.engines.tables.iceberg import Address, IcebergTables
from soundstage.engines.tables.port import At
from soundstage.testing.tables.samples import SPEC, film, ids, rows

pytestmark = pytest.mark.slow

HOUR_S = 3_600.0


@pytest.fixture
async def engine(shared: Address) -> AsyncIterator[IcebergTables]:
    made = IcebergTables(shared, SystemEnvironment(), durable=False)
    await made.start()
    await made.create(SPEC)
    yield made
    await made.stop()


@contextmanager
def off(seconds: float) -> Generator[None]:
    """Within the block the clock of this machine, as the driver reads it, is so far off."""

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime.now(tz) + datetime.timedelta(seconds=seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyiceberg.table.snapshots, "time", SimpleNamespace(time=lambda: time.time() + seconds))
        patch.setattr(pyiceberg.table.update, "datetime", Clock)
        yield


async def appended(engine: IcebergTables, number: int, off_s: float) -> int:
    """By a process whose clock is so far off; the snapshot's time."""
    with off(off_s):
        return (await engine.append("films", rows(film(number)))).committed_us


async def test_a_change_by_a_clock_that_is_behind_the_last_one_is_made_and_comes_after_it(
    engine: IcebergTables,
) -> None:
    made = [await appended(engine, number, off_s) for number, off_s in enumerate([HOUR_S, -HOUR_S, 0.0])]
    history = await engine.snapshots("films")
    assert made[1] < made[2] < made[0]
    assert [each.committed_us for each in history] == made[::-1]
    assert [each.parent for each in history] == [*(each.id for each in history[1:]), 0]
    assert await ids(engine) == [0, 1, 2]


async def test_the_past_is_what_the_last_snapshot_was_that_is_not_younger_by_its_own_clock(
    engine: IcebergTables,
) -> None:
    made = [await appended(engine, number, off_s) for number, off_s in enumerate([0.0, HOUR_S, -HOUR_S])]
    seen = [await ids(engine, at=At(time_us=at_us)) for at_us in (made[2], made[0], made[1])]
    assert made[2] < made[0] < made[1]
    assert seen == [[0, 1, 2]] * 3
    with pytest.raises(NotFound):
        await ids(engine, at=At(time_us=made[2] - 1_000))


async def test_snapshots_expire_by_the_time_of_who_made_them_and_the_last_of_a_branch_never(
    engine: IcebergTables,
) -> None:
    made = [await appended(engine, number, off_s) for number, off_s in enumerate([-HOUR_S, HOUR_S, -HOUR_S])]
    assert await engine.expire("films", time.time_ns() // 1_000) == 1
    assert [each.committed_us for each in await engine.snapshots("films")] == [made[2], made[1]]
    assert await ids(engine) == [0, 1, 2]
