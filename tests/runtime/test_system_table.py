from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import PreconditionFailed, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.system_table import SystemTable


class LosingAnswers(MemoryRecords):
    """An engine that applies and then, as often as told, fails to say so."""

    losses = 0

    async def apply(self, *args: object, **options: object) -> int:
        answer = await super().apply(*args, **options)  # type: ignore[arg-type]
        if self.losses:
            self.losses -= 1
            raise Unavailable("the answer was lost", outcome="unknown")
        return answer


@pytest.fixture
async def engine(environment: VirtualEnvironment) -> LosingAnswers:
    engine = LosingAnswers(environment)
    await engine.start()
    return engine


@pytest.fixture
async def table(engine: LosingAnswers, environment: VirtualEnvironment) -> SystemTable:
    table = SystemTable(engine, "things", TokenClock(environment), environment)
    await table.create()
    return table


async def test_creating_twice_changes_nothing(table: SystemTable) -> None:
    await table.write("p", {"a": b"1"}, {})
    await table.create()
    assert await table.get("p", "a") is not None


async def test_what_was_written_is_read_with_its_stamp(table: SystemTable) -> None:
    stamp = await table.write("p", {"a": b"1", "b": b"2"}, {"a": None, "b": None})
    assert await table.get("p", "a") == (b"1", stamp)
    assert await table.get("p", "c") is None
    assert await table.get("other", "a") is None


async def test_many_partitions_are_read_at_once_in_the_order_asked(table: SystemTable) -> None:
    stamps = {name: await table.write(name, {"a": name.encode(), "ab": b"no"}, {}) for name in ("p", "q", "r")}
    assert await table.get_many(["r", "x", "p"], "a") == [(b"r", stamps["r"]), None, (b"p", stamps["p"])]
    assert await table.get_many([], "a") == []


async def test_more_than_one_answer_holds_are_read_in_several(table: SystemTable) -> None:
    names = [str(number) for number in range(7)]
    for name in names:
        await table.write(name, {"a": name.encode() * 1_000_000}, {})
    found = await table.get_many([*names, "x", *names], "a")
    assert [None if entry is None else entry.value[:1].decode() for entry in found] == [*names, None, *names]


async def test_a_write_replaces_only_what_it_names(table: SystemTable) -> None:
    first = await table.write("p", {"a": b"1"}, {"a": None})
    second = await table.write("p", {"a": b"2"}, {"a": first})
    with pytest.raises(PreconditionFailed):
        await table.write("p", {"a": b"3"}, {"a": first})
    assert await table.get("p", "a") == (b"2", second)


async def test_a_failed_condition_writes_none_of_the_changes(table: SystemTable) -> None:
    await table.write("p", {"a": b"1"}, {})
    with pytest.raises(PreconditionFailed):
        await table.write("p", {"b": b"2", "c": b"3"}, {"a": None})
    assert await table.read("p", "b") == {}


async def test_none_deletes(table: SystemTable) -> None:
    stamp = await table.write("p", {"a": b"1"}, {})
    await table.write("p", {"a": None}, {"a": stamp})
    assert await table.get("p", "a") is None
    await table.write("p", {"a": b"2"}, {"a": None})


async def test_an_entry_with_a_ttl_expires_and_counts_as_absent(
    table: SystemTable, environment: VirtualEnvironment
) -> None:
    await table.write("p", {"a": b"1", "b": b"1"}, {}, ttls_us={"a": 1_000_000})
    environment.advance(1.1)
    assert await table.get("p", "a") is None
    assert await table.get("p", "b") is not None
    await table.write("p", {"a": b"2"}, {"a": None})


async def test_a_lost_answer_is_asked_for_again_and_applies_once(table: SystemTable, engine: LosingAnswers) -> None:
    engine.losses = 2
    stamp = await table.write("p", {"a": b"1"}, {"a": None})
    assert await table.get("p", "a") == (b"1", stamp)


async def test_an_engine_that_stays_away_is_told(table: SystemTable, engine: LosingAnswers) -> None:
    engine.losses = 100
    with pytest.raises(Unavailable):
        await table.write("p", {"a": b"1"}, {})


async def test_the_partitions_stamp_rises_with_every_write_deletes_included(table: SystemTable) -> None:
    seen = [await table.stamp("p")]
    for change in (b"1", None, b"2"):
        await table.write("p", {"a": change}, {})
        seen.append(await table.stamp("p"))
    assert seen[0] is None
    assert seen[1:] == sorted(set(seen[1:]))  # type: ignore[type-var]


async def test_a_prefix_selects(table: SystemTable) -> None:
    await table.write("p", {"n/a": b"1", "n/b": b"2", "h/a": b"3", "o": b"4"}, {})
    assert list(await table.read("p", "n/")) == ["n/a", "n/b"]


async def test_reading_goes_on_over_many_pages(table: SystemTable) -> None:
    big = bytes(300_000)
    for number in range(20):
        await table.write("p", {f"n/{number:02d}": big}, {})
    assert len(await table.read("p", "n/")) == 20


async def test_the_newest_come_last_key_first(table: SystemTable) -> None:
    await table.write("p", {f"h/{number}": str(number).encode() for number in range(5)}, {})
    assert list(await table.read("p", "h/", newest=2)) == ["h/4", "h/3"]
    assert list(await table.read("p", "h/", newest=2, before="h/3")) == ["h/2", "h/1"]
    assert list(await table.read("p", "h/", newest=9, before="h/1")) == ["h/0"]
    assert await table.read("p", "h/", newest=9, before="h/0") == {}


async def test_what_a_clock_ahead_wrote_is_replaced_only_onward(
    table: SystemTable, engine: LosingAnswers, environment: VirtualEnvironment
) -> None:
    environment.skew(3_600)
    ahead = SystemTable(engine, "things", TokenClock(environment), environment)
    first = await ahead.write("p", {"a": b"1"}, {"a": None})
    environment.skew(-3_600)
    with pytest.raises(Unavailable, match="ahead"):
        await table.write("p", {"a": b"2"}, {"a": first})
    second = await table.write("p", {"a": b"2"}, {"a": first}, onward=True)
    assert await table.get("p", "a") == (b"2", second)
    assert second > first
