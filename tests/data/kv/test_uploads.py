"""What becomes of chunks whose row never came, or went, and when."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.kv.conftest import ALL, OpenStage, between, item, keys, make, served, values
from tests.data.kv.engines import Copied

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.data.kv.api import KeyValue, Predicate
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.service import KeyValueService
from soundstage.data.kv.uploads import SHARDS, STAGING_US, check_in_time
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Budget, Span
from soundstage.runtime.stage import Stage

MIB = 1 << 20
BIG = bytes(range(256)) * 4 * 1024
OTHER = BIG[::-1]
STAGED_S = (STAGING_US + IN_FLIGHT_MAX_US) / 1e6
KNOBS = {"chunk_threshold": "64KiB", "chunk_check": "6h", "chunk_grace": "1h"}


class Clumsy(MemoryRecords):
    """Rows of items are not taken while it is `away`."""

    away = False

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        if self.away and table == "kv/people":
            raise Unavailable("the store is away", outcome="not_applied")
        return await super().apply(table, *arguments, **named)


class Yard:
    """The namespace `people` with its large values, on a clock that moves when told to."""

    def __init__(self, stage: Stage, kv: KeyValue, environment: VirtualEnvironment) -> None:
        self.kv = kv
        self._stage = stage
        self._environment = environment

    async def put(self, value: bytes, key: bytes = b"k", ttl: str | None = None) -> None:
        await self.kv.put_items(id="ada", items=[item(key, value, ttl)])

    async def pass_time(self, hours: float) -> int:
        """Time passes, with a sweep every quarter of an hour; how many values were dropped."""
        dropped = 0
        for _ in range(round(hours * 4)):
            self._environment.advance(900)
            dropped += await self.sweep()
        return dropped

    async def sweep(self, limit: int = 1_000) -> int:
        service = self._stage.systems.service("kv")
        assert isinstance(service, KeyValueService)
        return (await service.sweep_values("people", limit)).dropped

    @property
    def namespace(self) -> ServedNamespace:
        return served(self._stage)

    async def stored(self) -> int:
        """How many rows the table of large values has, chunks and entries."""
        page = await self.namespace.records.walk(
            self.namespace.values_table, 0, 1, None, Budget(), self._environment.now_us()
        )
        return sum(len(rows) for _, rows in page.partitions)

    async def found(self) -> list[bytes]:
        return [value or b"" for value in values((await self.kv.get_items(id="ada")).items).values()]


@pytest.fixture
async def yard(stage: Stage, environment: VirtualEnvironment) -> Yard:
    return Yard(stage, await make(stage, "people", **KNOBS), environment)


async def test_a_value_that_is_kept_is_never_dropped(yard: Yard) -> None:
    await yard.put(BIG)
    assert await yard.pass_time(30) == 0
    assert await yard.found() == [BIG]


@pytest.mark.parametrize("predicate", [ALL, keys(b"k"), between(b"a", b"z")])
async def test_the_chunks_of_what_is_deleted_are_dropped_in_the_end(yard: Yard, predicate: Predicate) -> None:
    await yard.put(BIG)
    await yard.kv.delete_items(id="ada", predicate=predicate)
    assert await yard.pass_time(10) == 1
    assert await yard.stored() == 0


async def test_the_chunks_of_what_expires_are_dropped_in_the_end(yard: Yard) -> None:
    await yard.put(BIG, ttl="2h")
    assert await yard.pass_time(1.5) == 0
    assert await yard.pass_time(12) == 1
    assert await yard.stored() == 0


async def test_the_chunks_of_what_a_small_value_replaced_are_dropped_in_the_end(yard: Yard) -> None:
    await yard.put(BIG)
    await yard.put(b"small")
    assert await yard.pass_time(10) == 1
    assert (await yard.found(), await yard.stored()) == ([b"small"], 0)


async def test_the_chunks_of_what_a_large_value_replaced_are_dropped_after_their_grace(yard: Yard) -> None:
    await yard.put(BIG)
    await yard.put(OTHER)
    assert await yard.pass_time(0.75) == 0
    assert await yard.pass_time(0.5) >= 1
    assert await yard.found() == [OTHER]


async def test_chunks_are_kept_for_their_grace_after_a_delete(yard: Yard) -> None:
    await yard.put(BIG)
    await yard.kv.delete_items(id="ada", predicate=ALL)
    before = await yard.stored()
    assert await yard.pass_time(1) == 0
    assert await yard.stored() == before


@pytest.mark.parametrize("knobs", [{"consistency": "eventual"}, {"consistency_scope": "local"}])
class TestWhereACopyMayBeBehind:
    @pytest.fixture
    def engine(self, environment: VirtualEnvironment) -> Copied:
        return Copied(environment)

    @pytest.fixture
    async def yard(
        self, engine: Copied, open_stage: OpenStage, environment: VirtualEnvironment, knobs: dict[str, str]
    ) -> Yard:
        stage = await open_stage(engine)
        return Yard(stage, await make(stage, "people", conditional_writes=False, **knobs, **KNOBS), environment)

    @pytest.fixture
    def stronger(self, knobs: dict[str, str]) -> dict[str, str]:
        return {"consistency": "strong"} if "consistency" in knobs else {"consistency_scope": "global"}

    async def test_the_chunks_of_what_another_copy_has_are_kept(self, yard: Yard, engine: Copied) -> None:
        await yard.put(BIG)
        engine.behind.add(b"ada")
        assert await yard.pass_time(30) == 0
        engine.behind.clear()
        assert await yard.found() == [BIG]

    async def test_so_they_are_when_the_namespace_promises_more_from_now_on(
        self, yard: Yard, engine: Copied, stronger: dict[str, str]
    ) -> None:
        await yard.put(BIG)
        engine.behind.add(b"ada")
        await make(yard._stage, "people", conditional_writes=False, **stronger, **KNOBS)
        assert await yard.pass_time(30) == 0
        engine.behind.clear()
        assert await yard.found() == [BIG]

    async def test_those_of_what_no_copy_has_are_dropped(self, yard: Yard) -> None:
        await yard.put(BIG)
        await yard.kv.delete_items(id="ada", predicate=ALL)
        assert await yard.pass_time(10) == 1
        assert await yard.stored() == 0

    async def test_while_a_copy_is_away_none_is_dropped(self, yard: Yard, engine: Copied) -> None:
        await yard.put(BIG)
        await yard.kv.delete_items(id="ada", predicate=ALL)
        before, engine.away = await yard.stored(), True
        with pytest.raises(Unavailable):
            await yard.pass_time(10)
        assert await yard.stored() == before
        engine.away = False
        assert await yard.pass_time(10) == 1


class TestWritesThatFail:
    @pytest.fixture
    def engine(self, environment: VirtualEnvironment) -> Clumsy:
        return Clumsy(environment)

    @pytest.fixture
    async def yard(self, engine: Clumsy, open_stage: OpenStage, environment: VirtualEnvironment) -> Yard:
        stage = await open_stage(engine)
        return Yard(stage, await make(stage, "people", **KNOBS), environment)

    async def test_their_chunks_are_dropped(self, yard: Yard, engine: Clumsy) -> None:
        await fail(yard, engine, BIG)
        assert await yard.stored() > 0
        assert await yard.pass_time(2) == 1
        assert await yard.stored() == 0

    async def test_what_they_did_not_replace_is_kept(self, yard: Yard, engine: Clumsy) -> None:
        await yard.put(BIG)
        await fail(yard, engine, OTHER)
        assert await yard.pass_time(20) == 1
        assert await yard.found() == [BIG]

    async def test_it_has_one_entry_however_often_it_was_nearly_replaced(self, yard: Yard, engine: Clumsy) -> None:
        await yard.put(BIG)
        alone = await yard.stored()
        for _ in range(3):
            await fail(yard, engine, OTHER)
        await yard.pass_time(3)
        assert await yard.stored() == alone


async def fail(yard: Yard, engine: Clumsy, value: bytes) -> None:
    """A write stored its chunks, and its row was not taken."""
    engine.away = True
    with pytest.raises(Unavailable):
        await yard.put(value)


async def test_a_round_ends_at_its_limit_and_the_next_goes_on(yard: Yard, environment: VirtualEnvironment) -> None:
    for number in range(5):
        await yard.put(BIG, b"%d" % number)
    await yard.kv.delete_items(id="ada", predicate=ALL)
    environment.advance(STAGED_S + 1)
    await yard.sweep()
    environment.advance(3_601)
    assert [await yard.sweep(3), await yard.sweep(3), await yard.sweep(3)] == [3, 2, 0]


async def test_nothing_is_due_before_its_time(yard: Yard, environment: VirtualEnvironment) -> None:
    await yard.put(BIG)
    environment.advance(STAGED_S - 1)
    service = yard._stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    assert (await service.sweep_values("people", 10)).examined == 0


async def test_entries_are_spread_over_their_partitions(yard: Yard) -> None:
    for number in range(40):
        await yard.put(bytes(64 * 1024 + 1), b"%02d" % number)
    counts: list[int] = []
    for shard in range(SHARDS):
        partition = b"s" + bytes([shard])
        namespace = yard.namespace
        page = await namespace.records.read_many(namespace.values_table, [partition], Span(), Budget(), 0)
        counts.append(len(page[0].rows))
    assert sum(counts) == 40
    assert max(counts) < 20


def test_a_row_may_come_for_half_a_minute() -> None:
    check_in_time(0, STAGING_US)
    with pytest.raises(DeadlineExceeded, match="took too long") as refused:
        check_in_time(0, STAGING_US + 1)
    assert refused.value.outcome == "not_applied"


def test_nor_may_it_where_the_clock_was_set_back() -> None:
    with pytest.raises(DeadlineExceeded):
        check_in_time(10, 9)


async def test_dropped_values_are_counted(yard: Yard, stage: Stage) -> None:
    await yard.put(BIG)
    await yard.kv.delete_items(id="ada", predicate=ALL)
    await yard.pass_time(10)
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    counted = {each.name: each.value for each in service.measurements()}
    assert counted["kv_values_dropped"] == 1
