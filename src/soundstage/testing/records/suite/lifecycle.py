"""Deadlines of writes, engines that are stopped, and engines that stop while they are used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from soundstage.core.errors import DeadlineExceeded, PreconditionFailed, SoundstageError, Unavailable
from soundstage.engines.records.port import ALL, DEFAULT_BUDGET, Budget, Capability, Page
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD, TABLE, Bench
from soundstage.testing.records.requirements import requires
from soundstage.testing.records.suite.conditions import ABSENT
from soundstage.testing.records.writes import batch_of, conditional_of

CALLS: dict[str, Callable[[Bench], Awaitable[object]]] = {
    "create_table": lambda bench: bench.engine.create_table(bench.spec),
    "drop_table": lambda bench: bench.engine.drop_table("suite/unknown"),
    "tables": lambda bench: bench.engine.tables(),
    "set_purge_floor": lambda bench: bench.engine.set_purge_floor(TABLE, 0),
    "apply": lambda bench: bench.put(b"key", b"value", at=0),
    "get": lambda bench: bench.engine.get(TABLE, RECORD, [b"key"], bench.at(0)),
    "read": lambda bench: bench.page(),
    "read_many": lambda bench: bench.engine.read_many(TABLE, [RECORD], ALL, DEFAULT_BUDGET, bench.at(0)),
    "walk": lambda bench: bench.engine.walk(TABLE, 0, 1, None, DEFAULT_BUDGET, bench.at(0)),
    "sweep": lambda bench: bench.engine.sweep(10),
}
"""Every call of the port but those that start and stop."""

COUNT = 2_000


async def fill(bench: Bench) -> None:
    """The record has so many items, and as many again are due, that any call over them takes some time."""
    await bench.send(bench.write(at=0, puts={b"%05d" % number: Put(b"value") for number in range(COUNT)}))
    await asyncio.gather(
        *(bench.put(b"", b"", at=0, expires=number, record=b"record-%d" % number) for number in range(200))
    )
    bench.advance(bench.kept_us)
    bench.environment.tick_ns = 1_000_000


async def outcome(call: Awaitable[object]) -> object:
    """What a call returned, or the refusal that it ended with."""
    try:
        return await call
    except SoundstageError as refused:
        return refused.with_traceback(None)


class Lifecycle:
    async def test_a_write_in_time_is_taken(self, bench: Bench) -> None:
        batch = batch_of(bench.write(at=0, puts={b"key": Put(b"value")}))
        deadline_ns = bench.environment.monotonic_ns() + 1_000_000_000
        await bench.engine.apply(TABLE, RECORD, batch, deadline_ns=deadline_ns)
        assert await bench.values() == {b"key": b"value"}

    @pytest.mark.parametrize("late_ns", [0, 1])
    async def test_a_write_whose_time_is_over_is_not_applied(self, bench: Bench, late_ns: int) -> None:
        batch = batch_of(bench.write(at=0, puts={b"key": Put(b"value")}))
        bench.advance(1_000)
        deadline_ns = bench.environment.monotonic_ns() - late_ns
        with pytest.raises(DeadlineExceeded) as refused:
            await bench.engine.apply(TABLE, RECORD, batch, deadline_ns=deadline_ns)
        assert refused.value.outcome == "not_applied"
        assert (await bench.rows(), await bench.stamp()) == ([], None)

    @requires(Capability.CONDITIONAL)
    async def test_a_conditional_write_whose_time_is_over_is_not_recorded(self, guarded: Bench) -> None:
        batch = batch_of(guarded.write(at=0, token="call", puts={b"key": Put(b"value")}))
        asked = conditional_of("call", [ABSENT], b"digest", guarded.at(1_000))
        late_ns = guarded.environment.monotonic_ns()
        with pytest.raises(DeadlineExceeded):
            await guarded.engine.apply(TABLE, RECORD, batch, conditional=asked, deadline_ns=late_ns)
        other = conditional_of("call", [], b"another", guarded.at(1_000))
        assert await guarded.engine.apply(TABLE, RECORD, batch, conditional=other) == guarded.at(0)

    @pytest.mark.parametrize("call", CALLS)
    async def test_a_stopped_engine_is_unavailable(self, bench: Bench, call: str) -> None:
        await bench.engine.stop()
        with pytest.raises(Unavailable) as refused:
            await CALLS[call](bench)
        assert refused.value.outcome == "not_applied"

    async def test_an_engine_may_be_stopped_twice(self, bench: Bench) -> None:
        await bench.put(b"key", b"value", at=0)
        await bench.engine.stop()
        await bench.engine.stop()
        await bench.reopen()
        assert await bench.values() == {b"key": b"value"}

    @pytest.mark.parametrize("call", ["read", "read_many", "walk", "sweep", "get", "apply"])
    async def test_a_call_under_way_ends_whole_or_unavailable(self, bench: Bench, call: str) -> None:
        await fill(bench)
        calls = [asyncio.ensure_future(outcome(CALLS[call](bench))) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        await bench.engine.stop()
        for ended in await asyncio.gather(*calls):
            assert not isinstance(ended, SoundstageError) or isinstance(ended, Unavailable)
            if isinstance(ended, Page) and call == "read":
                assert len(ended.rows) == COUNT

    @pytest.mark.parametrize("call", ["read", "read_many", "walk", "sweep"])
    async def test_the_storage_is_free_at_once_though_a_call_was_under_way(self, bench: Bench, call: str) -> None:
        await fill(bench)
        calls = [asyncio.ensure_future(outcome(CALLS[call](bench))) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        await bench.reopen()
        bench.environment.tick_ns = 0
        assert len(await bench.rows()) == COUNT
        await asyncio.gather(*calls)

    @pytest.mark.parametrize("call", ["read", "read_many", "walk"])
    async def test_a_call_that_failed_does_not_hold_the_storage(self, bench: Bench, call: str) -> None:
        await fill(bench)
        calls = [asyncio.ensure_future(CALLS[call](bench)) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        await bench.engine.stop()
        # Whoever keeps an error keeps its traceback, and with it every frame that the error went through.
        kept = await asyncio.gather(*calls, return_exceptions=True)
        await bench.reopen()
        bench.environment.tick_ns = 0
        assert (len(await bench.rows()), len(kept)) == (COUNT, 3)

    async def test_a_call_that_was_cancelled_does_not_hold_the_storage(self, bench: Bench) -> None:
        await fill(bench)
        call = asyncio.ensure_future(bench.page())
        for _ in range(3):
            await asyncio.sleep(0)
        call.cancel()
        await bench.reopen()
        bench.environment.tick_ns = 0
        assert len(await bench.rows()) == COUNT

    async def test_a_table_dropped_during_a_read_is_missed_or_read_whole(self, bench: Bench) -> None:
        await fill(bench)
        call = asyncio.ensure_future(outcome(bench.page(budget=Budget(rows=COUNT))))
        for _ in range(3):
            await asyncio.sleep(0)
        await bench.engine.drop_table(TABLE)
        ended = await call
        assert isinstance(ended, Unavailable) or (isinstance(ended, Page) and len(ended.rows) == COUNT)

    @requires(Capability.CONDITIONAL)
    async def test_an_engine_that_refused_is_still_there(self, guarded: Bench) -> None:
        await guarded.put(b"key", b"", at=0)
        for number in range(50):
            with pytest.raises(PreconditionFailed):
                await guarded.put_if(b"key", b"", ABSENT._replace(key=b"key"), at=number)
        assert await guarded.put(b"other", b"", at=0) == 0
