"""What is kept of a table, taken out and put into another: later writes come to the same there."""

from __future__ import annotations

from contextlib import suppress
from copy import copy

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument, PreconditionFailed
from soundstage.engines.records.holdings import Holding, Transfers
from soundstage.engines.records.port import Budget, Capability, Records
from soundstage.testing.model import Put
from soundstage.testing.records.bench import KEPT_US, PAGES_MAX, RECORD, TABLE, Bench
from soundstage.testing.records.examples import EXAMPLES
from soundstage.testing.records.histories import History, Passed, Step, histories
from soundstage.testing.records.requirements import requires
from soundstage.testing.records.suite.walks import walk

SMALL = Budget(rows=1, bytes=1)


def transfers_of(engine: Records) -> Transfers:
    assert isinstance(engine, Transfers)
    return engine


async def dumped(engine: Records, budget: Budget = SMALL, table: str = TABLE) -> list[Holding]:
    """Everything that a table keeps, page by page."""
    found: list[Holding] = []
    position: bytes | None = None
    for _ in range(PAGES_MAX):
        page = await transfers_of(engine).dump(table, position, budget)
        found += page.holdings
        position = page.position
        if position is None:
            return found
    raise AssertionError("a dump does not end")


async def twin_of(bench: Bench, budget: Budget = SMALL) -> Bench:
    """A bench of the same clock whose engine was given what the other one keeps; its engine is to be stopped."""
    twin = copy(bench)
    twin.engine = await bench.another("twin")
    await twin.engine.drop_table(TABLE)
    await twin.engine.create_table(bench.spec)
    await transfers_of(twin.engine).load(TABLE, await dumped(bench.engine, budget))
    return twin


async def go_on(bench: Bench, before: list[Step], after: list[Step]) -> None:
    """Two engines answer alike after the one was given what the other kept."""
    # A second engine is filled for it.
    if not bench.takes_example(weight=3):
        return
    history = History(b"record-%d" % bench.take_number(), bench)
    for step in before:
        await history.take(step)
    twin = await twin_of(bench)
    try:
        history.benches = (bench, twin)
        await history.check()
        for step in after:
            if isinstance(step, Passed):
                bench.advance(step.us)
            else:
                await history.take(step)
            await history.check()
    finally:
        await twin.engine.stop()


class TransfersHeld:
    @requires(Capability.TRANSFER)
    @settings(EXAMPLES, max_examples=50)
    @given(histories(conditional=False, size=15), histories(conditional=False, size=10))
    async def test_later_writes_come_to_the_same_in_a_copy(
        self, bench: Bench, before: list[Step], after: list[Step]
    ) -> None:
        await go_on(bench, before, after)

    @requires(Capability.TRANSFER, Capability.CONDITIONAL)
    @settings(EXAMPLES, max_examples=50)
    @given(histories(conditional=True, size=15), histories(conditional=True, size=10))
    async def test_conditions_and_repetitions_come_to_the_same_in_a_copy(
        self, guarded: Bench, before: list[Step], after: list[Step]
    ) -> None:
        await go_on(guarded, before, after)

    @requires(Capability.TRANSFER)
    @pytest.mark.parametrize("budget", [SMALL, Budget(rows=7, bytes=10_000), Budget()])
    async def test_every_record_comes_out_whatever_the_pages(self, bench: Bench, budget: Budget) -> None:
        for number in range(30):
            puts = {b"%d" % key: Put(b"value", bench.at(KEPT_US) if key == 2 else 0) for key in range(5)}
            await bench.send(bench.write(at=-9, puts=puts), b"record-%d\0" % number)
            await bench.delete_range(b"3", b"4", at=-7, record=b"record-%d\0" % number)
        twin = await twin_of(bench, budget)
        # The order is each table's own.
        assert sorted(await walk(twin)) == sorted(await walk(bench))
        await twin.engine.stop()

    @requires(Capability.TRANSFER)
    async def test_a_record_comes_out_once_where_it_fits(self, bench: Bench) -> None:
        for number in range(10):
            await bench.put(b"key", b"value", at=-1, record=b"record-%d" % number)
        found = await dumped(bench.engine, Budget())
        assert sorted(each.partition for each in found) == sorted(b"record-%d" % number for number in range(10))

    @requires(Capability.TRANSFER)
    async def test_what_expired_or_was_deleted_comes_out_and_what_is_hidden_does_not(self, bench: Bench) -> None:
        await bench.send(bench.write(at=-5, puts={b"dead": Put(b"", bench.at(-4)), b"hidden": Put(b"", 0)}))
        await bench.delete(b"gone", at=-3)
        await bench.delete_range(b"hidden", b"hide", at=-2)
        (found,) = await dumped(bench.engine, Budget())
        assert [key for key, _ in found.cells] == [b"dead", b"gone"]
        assert [(each.start, each.end) for each in found.ranges] == [(b"hidden", b"hide")]

    @requires(Capability.TRANSFER)
    async def test_a_table_without_records_has_no_holdings(self, bench: Bench) -> None:
        assert await dumped(bench.engine) == []

    @requires(Capability.TRANSFER)
    async def test_loading_again_changes_nothing(self, bench: Bench) -> None:
        await bench.put(b"key", b"value", at=-1)
        await bench.delete_range(b"k", b"kex", at=-2)
        found = await dumped(bench.engine)
        await transfers_of(bench.engine).load(TABLE, found[::-1])
        assert await dumped(bench.engine) == found

    @requires(Capability.TRANSFER)
    async def test_loading_never_takes_back_what_is_newer(self, bench: Bench) -> None:
        await bench.put(b"key", b"old", at=-9)
        found = await dumped(bench.engine)
        await bench.put(b"key", b"new", at=-1)
        await transfers_of(bench.engine).load(TABLE, found)
        assert await bench.values() == {b"key": b"new"}
        assert await bench.stamp() == (-1, "token")

    @requires(Capability.TRANSFER)
    async def test_the_greatest_version_of_a_record_comes_along_without_its_row(self, bench: Bench) -> None:
        await bench.delete_all(at=0)
        bench.advance(bench.kept_us)
        await bench.engine.sweep(1_000)
        twin = await twin_of(bench)
        assert await twin.stamp() == await bench.stamp()
        await twin.engine.stop()

    @requires(Capability.TRANSFER)
    async def test_what_was_loaded_is_swept_when_it_is_due(self, bench: Bench) -> None:
        await bench.delete_all(at=0)
        await bench.delete_range(b"a", b"b", at=0, record=b"other")
        twin = await twin_of(bench)
        bench.advance(bench.kept_us)
        assert (await twin.engine.sweep(1_000)).purged >= 2
        await twin.engine.stop()

    @requires(Capability.TRANSFER)
    async def test_many_rows_of_one_record_come_along(self, bench: Bench) -> None:
        for at in range(0, 2_000, 500):
            puts = {b"%05d" % key: Put(b"%d" % key) for key in range(at, at + 500)}
            await bench.send(bench.write(at=-1, puts=puts))
        twin = await twin_of(bench, Budget(rows=700, bytes=1 << 20))
        assert await twin.values() == await bench.values()
        await twin.engine.stop()

    @requires(Capability.TRANSFER)
    async def test_many_small_rows_come_out_whatever_a_page_holds(self, bench: Bench) -> None:
        for record in (b"one", b"two"):
            puts = {b"%05d" % number: Put(b"") for number in range(4_000)}
            await bench.send(bench.write(at=-1, puts=puts), record)
        found = await dumped(bench.engine, Budget())
        assert sum(len(each.cells) for each in found) == 8_000

    @requires(Capability.TRANSFER, Capability.CONDITIONAL)
    async def test_the_ledger_is_left_out_where_no_conditions_are_taken(self, guarded: Bench) -> None:
        await guarded.send(guarded.write(at=0, puts={b"key": Put(b"value")}), RECORD, [], b"digest", 1_000)
        found = await dumped(guarded.engine)
        assert [entry.token for each in found for entry in each.ledger] == ["token"]
        await guarded.engine.create_table(guarded.spec.__class__(name="suite/plain"))
        await transfers_of(guarded.engine).load("suite/plain", found)
        assert [entry for each in await dumped(guarded.engine, table="suite/plain") for entry in each.ledger] == []

    @requires(Capability.TRANSFER)
    async def test_what_is_no_version_is_not_loaded(self, bench: Bench) -> None:
        await bench.put(b"key", b"value", at=-1)
        (found,) = await dumped(bench.engine)
        with pytest.raises(InvalidArgument):
            await transfers_of(bench.engine).load(TABLE, [msgspec.structs.replace(found, cells=[(b"key", b"z")])])
        assert await bench.values() == {b"key": b"value"}

    @requires(Capability.TRANSFER, Capability.DURABLE)
    async def test_what_was_loaded_is_there_after_a_restart(self, bench: Bench) -> None:
        await bench.put(b"key", b"value", at=-1)
        found = await dumped(bench.engine)
        await bench.engine.drop_table(TABLE)
        await bench.engine.create_table(bench.spec)
        await transfers_of(bench.engine).load(TABLE, found)
        await bench.reopen()
        assert await bench.values() == {b"key": b"value"}

    @requires(Capability.TRANSFER)
    async def test_loads_are_taken_under_the_fence_that_was_admitted_last_alone(self, bench: Bench) -> None:
        await bench.put(b"key", b"value", at=-1)
        found = await dumped(bench.engine)
        await self._refill(bench)
        engine = transfers_of(bench.engine)
        await engine.admit(TABLE, 7)
        for fence in (None, 6, 8):
            with pytest.raises(PreconditionFailed):
                await engine.load(TABLE, found, fence)
        assert await bench.values() == {}
        await engine.load(TABLE, found, 7)
        await engine.admit(TABLE, 9, 5)
        with pytest.raises(PreconditionFailed):
            await engine.load(TABLE, found, 7)
        await engine.load(TABLE, found, 9)
        assert await bench.values() == {b"key": b"value"}

    @requires(Capability.TRANSFER)
    async def test_a_table_that_nobody_fills_takes_no_load_of_who_once_did(self, bench: Bench) -> None:
        await bench.put(b"key", b"value", at=-1)
        found = await dumped(bench.engine)
        await transfers_of(bench.engine).admit(TABLE, 7)
        await self._refill(bench)
        with pytest.raises(PreconditionFailed):
            await transfers_of(bench.engine).load(TABLE, found, 7)
        assert await bench.values() == {}

    @requires(Capability.TRANSFER)
    async def test_a_fence_takes_the_place_of_those_that_it_names_and_of_no_other(self, bench: Bench) -> None:
        engine = transfers_of(bench.engine)
        with pytest.raises(PreconditionFailed):
            await engine.admit(TABLE, 7, 5)
        await engine.admit(TABLE, 7)
        await engine.admit(TABLE, 7)
        for fence, least in ((8, None), (8, 8), (6, 5), (6, None)):
            with pytest.raises(PreconditionFailed):
                await engine.admit(TABLE, fence, least)
        await engine.admit(TABLE, 8, 7)
        await engine.load(TABLE, [], 8)

    @requires(Capability.TRANSFER, Capability.DURABLE)
    async def test_a_fence_is_kept_across_restarts(self, bench: Bench) -> None:
        await bench.put(b"key", b"value", at=-1)
        found = await dumped(bench.engine)
        await transfers_of(bench.engine).admit(TABLE, 7)
        await bench.reopen()
        with pytest.raises(PreconditionFailed):
            await transfers_of(bench.engine).load(TABLE, found)
        await transfers_of(bench.engine).load(TABLE, found, 7)

    async def _refill(self, bench: Bench) -> None:
        """The table is there, as new."""
        await bench.engine.drop_table(TABLE)
        await bench.engine.create_table(bench.spec)

    @requires(Capability.TRANSFER)
    @given(st.binary(max_size=20))
    @settings(EXAMPLES, max_examples=20)
    async def test_a_position_that_is_none_is_refused_or_ends(self, bench: Bench, position: bytes) -> None:
        if not bench.takes_example():
            return
        with suppress(InvalidArgument):
            await transfers_of(bench.engine).dump(TABLE, position, SMALL)
