"""An engine's tables taken to another engine while they are written."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from tests.runtime.transfer.conftest import inline

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound
from soundstage.engines.records.holdings import Holding, LedgerEntry
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import (
    ALL,
    Batch,
    Budget,
    Capability,
    Conditional,
    RangeDelete,
    TableSpec,
)
from soundstage.runtime.transfer.moving import ROUNDS_MAX, SHORT_US, EngineCopy, later_than

ITEMS, GUARDED = "kv/films", "kv/seats"
DAY_S = 86_400


class Both:
    """Two engines of one clock, and a copy from the one to the other."""

    def __init__(self, seed: int = 0) -> None:
        self.environment: VirtualEnvironment = VirtualEnvironment(seed)
        self.source: MemoryRecords = MemoryRecords(self.environment)
        self.target: MemoryRecords = MemoryRecords(self.environment)
        self.copy: EngineCopy

    async def start(self) -> None:
        await self.source.start()
        await self.target.start()
        await self.source.create_table(TableSpec(name=ITEMS))
        await self.source.create_table(TableSpec(name=GUARDED, conditional=True))
        self.copy = EngineCopy(self.source, self.target, self.environment, inline)

    def put(self, value: bytes, ago_us: int = 0) -> bytes:
        return version.put(self.environment.now_us() - ago_us, "put", value)

    def delete(self, ago_us: int = 0) -> bytes:
        return version.delete(self.environment.now_us() - ago_us, "delete")

    async def write(self, key: bytes, cell: bytes, record: bytes = b"record") -> None:
        self.environment.advance(1e-6)
        await self.source.apply(ITEMS, record, Batch(cells=[(key, cell)]))

    async def values(self, engine: MemoryRecords, record: bytes = b"record") -> dict[bytes, bytes]:
        page = await engine.read(ITEMS, record, ALL, Budget(), self.environment.now_us())
        return {key: bytes(version.split(cell).value) for key, cell in page.rows}

    async def kept(self, engine: MemoryRecords) -> dict[str, list[Holding]]:
        return {spec.name: (await engine.dump(spec.name, None, Budget())).holdings for spec in await engine.tables()}


@pytest.fixture
async def both() -> Both:
    found = Both()
    await found.start()
    return found


async def test_everything_arrives_and_later_writes_come_to_the_same(both: Both) -> None:
    await both.write(b"a", both.put(b"1"))
    await both.write(b"b", both.put(b"2"))
    await both.source.apply(ITEMS, b"record", Batch(ranges=[RangeDelete(b"b", b"c", both.delete())]))
    asked = Conditional(conditions=[], token="seat", digest=b"digest", limit_us=both.environment.now_us() + 10**9)
    await both.source.apply(GUARDED, b"row", Batch(cells=[(b"7", both.put(b"Ada"))]), conditional=asked)
    await both.copy.begin()
    done = await both.copy.finish(None)
    assert (done.tables, done.records, done.items) == (2, 2, 2)
    assert await both.kept(both.target) == await both.kept(both.source)


async def test_what_is_written_between_rounds_arrives_too(both: Both) -> None:
    await both.write(b"a", both.put(b"1"))
    first = await both.copy.round(None)
    await both.write(b"a", both.put(b"2"))
    await both.write(b"b", both.put(b"3"))
    second = await both.copy.round(first.began_us)
    await both.write(b"b", both.delete())
    await both.copy.finish(second.began_us)
    assert await both.values(both.target) == {b"a": b"2"}


async def test_only_what_may_be_later_is_loaded_again(both: Both) -> None:
    for number in range(5):
        await both.write(b"%d" % number, both.put(b"old"))
    first = await both.copy.round(None)
    both.environment.advance(DAY_S)
    second = await both.copy.round(both.environment.now_us())
    await both.write(b"5", both.put(b"new"))
    third = await both.copy.round(second.began_us)
    assert (first.loaded, second.loaded, third.loaded) == (5, 0, 1)


async def test_the_oldest_write_that_a_table_takes_is_not_missed(both: Both) -> None:
    both.environment.advance(DAY_S)
    first = await both.copy.round(None)
    await both.write(b"a", both.put(b"late", ago_us=TableSpec(name=ITEMS).max_lag_us))
    await both.copy.finish(first.began_us)
    assert await both.values(both.target) == {b"a": b"late"}


@pytest.mark.parametrize("whole", [True, False])
async def test_what_was_deleted_long_before_the_next_round_is_deleted_there_too(both: Both, whole: bool) -> None:
    await both.write(b"a", both.put(b"1"))
    first = await both.copy.round(None)
    both.environment.advance(1)
    cell = both.delete()
    await both.source.apply(
        ITEMS, b"record", Batch(partition=cell) if whole else Batch(ranges=[RangeDelete(b"", None, cell)])
    )
    both.environment.advance(3 * DAY_S)
    assert (await both.source.sweep(100)).purged == 0
    await both.copy.finish(first.began_us)
    assert await both.values(both.target) == {}


async def test_both_purge_again_once_it_is_finished(both: Both) -> None:
    await both.write(b"a", both.put(b"1"))
    await both.write(b"a", both.delete())
    await both.copy.finish(None)
    both.environment.advance(3 * DAY_S)
    assert [(await engine.sweep(100)).purged for engine in (both.source, both.target)] == [1, 1]


async def test_tables_that_come_and_go_meanwhile_do_so_there(both: Both) -> None:
    first = await both.copy.round(None)
    await both.source.drop_table(GUARDED)
    await both.source.create_table(TableSpec(name="kv/more"))
    await both.source.apply("kv/more", b"record", Batch(cells=[(b"a", both.put(b"1", ago_us=10**12))]))
    await both.copy.finish(first.began_us + 10**12)
    assert [spec.name for spec in await both.target.tables()] == [ITEMS, "kv/more"]
    assert await both.kept(both.target) == await both.kept(both.source)


async def test_a_target_with_tables_is_refused(both: Both) -> None:
    await both.target.create_table(TableSpec(name="other"))
    with pytest.raises(AlreadyExists) as refused:
        await both.copy.begin()
    assert "--since" in str(refused.value.hint)


async def test_a_copy_is_not_finished_that_was_not_begun(both: Both) -> None:
    with pytest.raises(NotFound):
        await both.copy.finish(1)


async def test_a_target_without_conditions_is_refused_where_they_are_used(both: Both) -> None:
    both.target.capabilities -= {Capability.CONDITIONAL}
    with pytest.raises(InvalidArgument):
        await both.copy.begin()


async def test_engines_that_cannot_be_copied_are_refused(both: Both) -> None:
    both.source.capabilities -= {Capability.TRANSFER}
    with pytest.raises(InvalidArgument):
        EngineCopy(both.source, both.target, both.environment, inline)


async def test_what_does_not_add_up_is_data_loss_and_goes_on_holding_purging(both: Both) -> None:
    await both.write(b"a", both.put(b"1"))
    first = await both.copy.round(None)
    await both.target.apply(ITEMS, b"record", Batch(cells=[(b"b", both.put(b"from elsewhere"))]))
    with pytest.raises(DataLoss) as refused:
        await both.copy.finish(first.began_us)
    assert ITEMS in str(refused.value)


async def test_a_write_that_a_round_missed_is_found_by_the_proof(both: Both) -> None:
    await both.write(b"a", both.put(b"1"))
    first = await both.copy.round(None)
    await both.source.drop_table(ITEMS)
    await both.source.create_table(TableSpec(name=ITEMS))
    with pytest.raises(DataLoss):
        await both.copy.finish(first.began_us)


async def test_a_copy_given_up_leaves_nothing(both: Both) -> None:
    await both.write(b"a", both.put(b"1"))
    await both.write(b"a", both.delete())
    await both.copy.round(None)
    await both.copy.give_up()
    both.environment.advance(3 * DAY_S)
    assert await both.target.tables() == []
    assert (await both.source.sweep(100)).purged == 1


async def test_rounds_go_on_until_they_are_short(both: Both) -> None:
    rounds = await both.copy.follow()
    assert len(rounds) == 2


async def test_rounds_that_stay_long_come_to_an_end(both: Both) -> None:
    async def slowly(do: object, *given: object) -> None:
        both.environment.advance(2 * SHORT_US / 1e6)

    copy = EngineCopy(both.source, both.target, both.environment, slowly)
    assert len(await copy.follow()) == ROUNDS_MAX


async def test_going_on_with_a_copy_loads_only_what_is_later(both: Both) -> None:
    await both.write(b"a", both.put(b"1"))
    first = await both.copy.round(None)
    both.environment.advance(DAY_S)
    rounds = await both.copy.follow(first.began_us + DAY_S * 1_000_000)
    assert [each.loaded for each in rounds] == [0, 0]


def holding_of(at_us: Sequence[int]) -> Holding:
    """Things of one record at these times."""
    return Holding(
        partition=b"record",
        newest=version.identity(version.put(max(at_us), "t", b"")),
        cells=[(b"%d" % each, version.put(each, "t", b"")) for each in at_us],
        ranges=[RangeDelete(b"%d" % each, b"x", version.delete(each, "t")) for each in at_us],
        tombstone=version.delete(at_us[0], "t"),
        ledger=[LedgerEntry("t", each, b"") for each in at_us],
    )


def test_of_a_record_only_what_is_later_is_left() -> None:
    found = later_than(holding_of([10, 20]), 20)
    assert found is not None
    assert [len(each) for each in (found.cells, found.ranges, found.ledger)] == [1, 1, 1]
    assert found.tombstone is None


def test_a_record_of_which_nothing_is_later_is_left_out() -> None:
    assert later_than(holding_of([10, 20]), 21) is None


def test_without_a_bound_all_of_a_record_is_left() -> None:
    assert later_than(holding_of([10]), 0) == holding_of([10])


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_is_written_between_whatever_rounds_both_end_alike(seed: int) -> None:
    chance = random.Random(seed)
    both = Both(seed)
    await both.start()
    since_us: int | None = None
    for _ in range(60):
        both.environment.advance(chance.choice([0, 1e-6, 1, 700, DAY_S]))
        ago_us, record = chance.choice([0, 0, 1, 599_000_000]), b"record-%d" % chance.randrange(2)
        keys = [b"a", b"b", b"c"]
        cell = both.put(b"%d" % chance.randrange(9), ago_us)
        expiring = version.put(both.environment.now_us() - ago_us, "ttl", b"", both.environment.now_us() + 7_000_000)
        batch = chance.choice(
            [
                Batch(cells=[(chance.choice(keys), cell)]),
                Batch(cells=[(chance.choice(keys), expiring)]),
                Batch(cells=[(chance.choice(keys), both.delete(ago_us))]),
                Batch(ranges=[RangeDelete(chance.choice(keys), chance.choice([None, b"c"]), both.delete(ago_us))]),
                Batch(partition=both.delete(ago_us)),
            ]
        )
        await both.source.apply(chance.choice([ITEMS, GUARDED]), record, batch)
        if chance.random() < 0.1:
            since_us = (await both.copy.round(since_us)).began_us
        if chance.random() < 0.2:
            await both.source.sweep(10)
    await both.copy.finish(since_us)
    assert await both.kept(both.target) == await both.kept(both.source)
