from __future__ import annotations

import msgspec
import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Batch, TableSpec
from soundstage.runtime.control.tables import Tables, in_time

MINUTE_US = 60_000_000
TABLE = TableSpec(name="notes/x", max_lag_us=10 * MINUTE_US)


@pytest.fixture
async def engine(environment: VirtualEnvironment) -> MemoryRecords:
    engine = MemoryRecords(environment)
    await engine.start()
    return engine


@pytest.fixture
def tables(environment: VirtualEnvironment) -> Tables:
    return Tables(environment)


def lag(minutes: int) -> TableSpec:
    return msgspec.structs.replace(TABLE, max_lag_us=minutes * MINUTE_US)


async def lag_of(engine: MemoryRecords) -> int:
    return (await engine.tables())[0].max_lag_us // MINUTE_US


async def test_creating_drops_what_a_namespace_of_the_name_left(
    tables: Tables, engine: MemoryRecords, environment: VirtualEnvironment
) -> None:
    await engine.create_table(msgspec.structs.replace(TABLE, key_order="desc"))
    await engine.apply("notes/x", b"p", Batch(cells=[(b"k", bytes(8) + b"\0t\0" + bytes(12))]))
    await tables.create(engine, [TABLE])
    assert await engine.tables() == [TABLE]
    assert (await engine.get("notes/x", b"p", [b"k"], environment.now_us())).rows == []


async def test_dropping_twice_is_no_error(tables: Tables, engine: MemoryRecords) -> None:
    await tables.create(engine, [TABLE])
    for _ in range(2):
        await tables.drop(engine, ["notes/x"])
    assert await engine.tables() == []


async def test_adjusting_makes_what_is_missing(tables: Tables, engine: MemoryRecords) -> None:
    await tables.adjust(engine, [TABLE], 0)
    assert await engine.tables() == [TABLE]


async def test_a_longer_lag_holds_at_once(tables: Tables, engine: MemoryRecords) -> None:
    await tables.adjust(engine, [lag(10)], 0)
    await tables.adjust(engine, [lag(20)], 0)
    assert await lag_of(engine) == 20


async def test_a_shorter_lag_holds_once_the_last_late_write_must_be_there(
    tables: Tables, engine: MemoryRecords, environment: VirtualEnvironment
) -> None:
    await tables.adjust(engine, [lag(20)], 0)
    await tables.adjust(engine, [lag(5)], environment.now_us())
    environment.advance(15 * 60 - 1)
    await tables.settle()
    assert await lag_of(engine) == 20
    environment.advance(1)
    await tables.settle()
    assert await lag_of(engine) == 5


async def test_shrinking_twice_counts_from_what_the_table_has(
    tables: Tables, engine: MemoryRecords, environment: VirtualEnvironment
) -> None:
    await tables.adjust(engine, [lag(20)], 0)
    await tables.adjust(engine, [lag(15)], environment.now_us())
    await tables.adjust(engine, [lag(10)], environment.now_us())
    environment.advance(5 * 60)
    await tables.settle()
    assert await lag_of(engine) == 20
    environment.advance(5 * 60)
    await tables.settle()
    assert await lag_of(engine) == 10


async def test_growing_again_forgets_the_shorter_lag(
    tables: Tables, engine: MemoryRecords, environment: VirtualEnvironment
) -> None:
    await tables.adjust(engine, [lag(20)], 0)
    await tables.adjust(engine, [lag(5)], environment.now_us())
    await tables.adjust(engine, [lag(30)], environment.now_us())
    environment.advance(3_600)
    await tables.settle()
    assert await lag_of(engine) == 30


async def test_going_back_to_what_the_table_has_forgets_the_shorter_lag(
    tables: Tables, engine: MemoryRecords, environment: VirtualEnvironment
) -> None:
    await tables.adjust(engine, [lag(20)], 0)
    await tables.adjust(engine, [lag(5)], environment.now_us())
    await tables.adjust(engine, [lag(20)], environment.now_us())
    environment.advance(3_600)
    await tables.settle()
    assert await lag_of(engine) == 20


async def test_a_shorter_lag_is_found_again_after_a_restart(
    tables: Tables, engine: MemoryRecords, environment: VirtualEnvironment
) -> None:
    changed_us = environment.now_us()
    await tables.adjust(engine, [lag(20)], 0)
    await tables.adjust(engine, [lag(5)], changed_us)
    environment.advance(16 * 60)
    again = Tables(environment)
    await again.adjust(engine, [lag(5)], changed_us)
    await again.settle()
    assert await lag_of(engine) == 5


async def test_a_dropped_table_is_not_settled(
    tables: Tables, engine: MemoryRecords, environment: VirtualEnvironment
) -> None:
    await tables.adjust(engine, [lag(20)], 0)
    await tables.adjust(engine, [lag(5)], environment.now_us())
    await tables.drop(engine, ["notes/x"])
    environment.advance(3_600)
    await tables.settle()
    assert await engine.tables() == []


class Late:
    """Lets so many steps pass; then others may be at it."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> None:
        if not self.left:
            raise Unavailable("others may be at it")
        self.left -= 1


@pytest.mark.parametrize("steps", [0, 1])
async def test_who_was_paused_before_making_tables_leaves_those_of_others_alone(
    tables: Tables, engine: MemoryRecords, steps: int
) -> None:
    await tables.create(engine, [lag(20)])
    with pytest.raises(Unavailable):
        await tables.create(engine, [lag(5)], Late(steps))
    assert [spec.max_lag_us for spec in await engine.tables()] == ([lag(20).max_lag_us] if steps == 0 else [])


async def test_who_was_paused_before_dropping_tables_leaves_those_of_others_alone(
    tables: Tables, engine: MemoryRecords
) -> None:
    await tables.create(engine, [lag(20)])
    with pytest.raises(Unavailable):
        await tables.drop(engine, [lag(20).name], Late(0))
    assert len(await engine.tables()) == 1


async def test_who_is_in_time_is_let_on_and_who_is_late_is_not(environment: VirtualEnvironment) -> None:
    check = in_time(environment, 30_000_000)
    environment.advance(30)
    check()
    environment.advance(0.001)
    with pytest.raises(Unavailable, match="others may be at it"):
        check()
