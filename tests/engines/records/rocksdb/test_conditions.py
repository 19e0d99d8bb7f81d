from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from tests.engines.records.rocksdb.store import Store

from soundstage.core.errors import InvalidArgument, PreconditionFailed, SoundstageError, TokenReused, Unavailable
from soundstage.engines.records.rocksdb.conditions import EVIDENT_MAX
from soundstage.engines.records.rocksdb.reading import CLOCK_EVERY, SLICE_NS
from soundstage.engines.records.rocksdb.rowkeys import HEAD, LEDGER
from soundstage.testing.model import Condition, Put
from soundstage.testing.records.bench import KEPT_US, RECORD

ABSENT = Condition(b"key", None)


def ledger(store: Store) -> list[bytes]:
    """The tokens whose success is recorded."""
    start = store.prefix() + HEAD + LEDGER
    return [row_key[len(start) :] for row_key in store.stored() if row_key.startswith(start)]


async def test_a_success_is_recorded_with_what_it_wrote(conditional: Store) -> None:
    writes = conditional.disk.writes
    await conditional.put_if(b"key", b"value", ABSENT, at=0, token="t-1")
    assert ledger(conditional) == [b"t-1"]
    assert conditional.disk.writes - writes == 1


async def test_a_failure_is_not_recorded(conditional: Store) -> None:
    await conditional.put(b"key", b"value", at=0)
    with pytest.raises(PreconditionFailed):
        await conditional.put_if(b"key", b"value", ABSENT, at=1, token="t-1")
    assert ledger(conditional) == []


async def test_a_repetition_is_known_after_a_restart(conditional: Store) -> None:
    stamp = await conditional.put_if(b"key", b"value", ABSENT, at=0, token="t-1")
    await conditional.put(b"key", b"later", at=5)
    await conditional.reopen()
    assert await conditional.put_if(b"key", b"value", ABSENT, at=0, token="t-1") == stamp
    assert await conditional.values() == {b"key": b"later"}


async def test_another_request_under_the_token_is_refused_after_a_restart(conditional: Store) -> None:
    write = conditional.write(at=0, token="t-1", puts={b"key": Put(b"value")})
    await conditional.send(write, conditions=[ABSENT], digest=b"one")
    await conditional.reopen()
    with pytest.raises(TokenReused, match="'t-1' named another request"):
        await conditional.send(write, conditions=[ABSENT], digest=b"two")


async def test_a_record_of_success_goes_when_no_repetition_can_arrive(conditional: Store) -> None:
    await conditional.put_if(b"key", b"value", ABSENT, at=0)
    conditional.advance(KEPT_US)
    assert await conditional.sweep() == 0
    conditional.advance(1)
    assert await conditional.sweep() == 1
    assert ledger(conditional) == []


async def test_a_table_without_conditions_refuses_them(store: Store) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await store.put_if(b"key", b"value", ABSENT, at=0)
    assert caught.value.field == "condition"
    assert store.stored() == {}


async def test_of_many_who_put_what_is_absent_one_succeeds(conditional: Store) -> None:
    outcomes = await asyncio.gather(
        *(conditional.put_if(b"key", b"%d" % n, ABSENT, at=n) for n in range(20)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} == {PreconditionFailed}


async def test_a_record_written_in_the_future_is_unavailable_until_then(conditional: Store) -> None:
    await conditional.put(b"key", b"value", at=10_000_000)
    with pytest.raises(Unavailable) as caught:
        await conditional.put_if(b"other", b"value", Condition(b"other", None), at=0)
    assert (caught.value.outcome, caught.value.retryable) == ("not_applied", True)


# -- what an answer rests on is durable


@pytest.mark.parametrize("kind", ["failed condition", "repetition", "reused token", "future"])
async def test_an_answer_waits_for_the_flush_of_what_it_rests_on(conditional: Store, kind: str) -> None:
    """The database fails at the flush: then the answer is that failure, and not what a power cut may take back."""
    far = 10_000_000 if kind == "future" else 0
    first = asyncio.ensure_future(conditional.put_if(b"key", b"value", ABSENT, at=far, token="t-1"))
    if kind == "future":
        first.cancel()
        first = asyncio.ensure_future(conditional.put(b"key", b"value", at=far))
    other = asyncio.ensure_future(conditional.put(b"x", b"", at=1, record=b"so that two share the flush"))
    await asyncio.sleep(0)
    conditional.disk.flush_error = Exception("IO error: No space left on device")
    write = conditional.write(at=0, token="t-1", puts={b"key": Put(b"value")})
    digest = b"other" if kind == "reused token" else b"digest"
    token = conditional.write(at=0, token="t-2", puts={b"key": Put(b"value")})
    answer = conditional.send(
        write if kind in ("repetition", "reused token") else token, conditions=[ABSENT], digest=digest
    )
    refusals = await asyncio.gather(answer, first, other, return_exceptions=True)
    assert [type(refusal) for refusal in refusals] == [Unavailable] * 3
    assert all(isinstance(each, SoundstageError) and "No space left" in each.detail for each in refusals)


NO_RECORD = Condition(None, None)
MANY = 500


@pytest.fixture
async def dead(conditional: Store) -> Store:
    """A record of many rows that have all expired, on a machine so slow that a slice ends after a few of them."""
    puts = {b"%04d" % number: Put(b"", conditional.at(5)) for number in range(MANY)}
    await conditional.send(conditional.write(at=0, puts=puts))
    conditional.advance(10)
    conditional.environment.tick_ns = SLICE_NS // 2
    return conditional


async def under_way(dead: Store) -> None:
    """The look for live rows has let others run."""
    for _ in range(MANY):
        if dead.database.paused:
            return
        await asyncio.sleep(0)
    raise AssertionError("nobody looks")


async def test_a_look_for_live_rows_lets_others_run(dead: Store) -> None:
    writing = asyncio.ensure_future(dead.put_if(b"key", b"value", NO_RECORD, at=10))
    turns = 0
    while not writing.done():
        turns += 1
        await asyncio.sleep(0)
    await writing
    assert turns > MANY // CLOCK_EVERY // 4


async def test_what_is_written_during_the_look_is_seen(dead: Store) -> None:
    writing = asyncio.ensure_future(dead.put_if(b"key", b"value", NO_RECORD, at=11))
    await under_way(dead)
    await dead.put(b"0000", b"other", at=10)
    with pytest.raises(PreconditionFailed):
        await writing


async def test_a_live_row_behind_many_dead_ones_is_found(dead: Store) -> None:
    await dead.put(b"9999", b"", at=10)
    with pytest.raises(PreconditionFailed):
        await dead.put_if(b"key", b"value", NO_RECORD, at=11)


async def test_a_look_under_way_ends_with_the_engine_and_keeps_nothing_open(dead: Store) -> None:
    writing = asyncio.ensure_future(dead.put_if(b"key", b"value", NO_RECORD, at=10))
    await under_way(dead)
    await dead.rocks.stop()
    (error,) = await asyncio.gather(writing, return_exceptions=True)
    assert isinstance(error, Unavailable)
    await dead.open()
    assert await dead.values() == {}


def put_new(store: Store, number: int, condition: Condition = ABSENT, record: bytes = RECORD) -> Awaitable[int]:
    """A conditional write of `key`, unlike any other."""
    write = store.write(at=number, token=f"t-{number}", puts={b"key": Put(b"%d" % number)})
    return store.send(write, record, [condition])


class TestTogether:
    """Conditional writes of one item that come in one moment."""

    async def test_they_share_a_batch_and_a_flush(self, conditional: Store) -> None:
        writes, flushes = conditional.disk.writes, conditional.database.commits.flushes
        stamps = await asyncio.gather(*(put_new(conditional, n, record=b"record-%d" % n) for n in range(1, 9)))
        assert stamps == list(range(1, 9))
        assert (conditional.disk.writes - writes, conditional.database.commits.flushes - flushes) == (1, 1)

    @pytest.mark.parametrize("condition", [ABSENT, NO_RECORD], ids=["item", "record"])
    async def test_of_several_that_want_nothing_to_be_there_one_is_applied(
        self, conditional: Store, condition: Condition
    ) -> None:
        found = await asyncio.gather(*(put_new(conditional, n, condition) for n in range(1, 6)), return_exceptions=True)
        assert [type(each) for each in found] == [int] + [PreconditionFailed] * 4
        assert await conditional.values() == {b"key": b"1"}

    async def test_a_repetition_of_the_same_moment_has_no_effect(self, conditional: Store) -> None:
        stamps = await asyncio.gather(*(put_new(conditional, 1) for _ in range(3)))
        assert stamps == [1, 1, 1]
        assert ledger(conditional) == [b"t-1"]

    async def test_a_write_without_conditions_before_it_counts(self, conditional: Store) -> None:
        put = conditional.put(b"key", b"first", at=1)
        _, failure = await asyncio.gather(put, put_new(conditional, 2), return_exceptions=True)
        assert isinstance(failure, PreconditionFailed)
        assert await conditional.values() == {b"key": b"first"}

    async def test_one_after_it_wins_by_its_time(self, conditional: Store) -> None:
        put = conditional.put(b"key", b"later", at=2)
        assert await asyncio.gather(put_new(conditional, 1), put) == [1, 2]
        assert await conditional.values() == {b"key": b"later"}

    async def test_it_is_stamped_past_all_that_its_record_has(self, conditional: Store) -> None:
        await conditional.put(b"other", b"", at=50)
        assert await put_new(conditional, 1) == 51
        assert ledger(conditional) == [b"t-1"]

    async def test_more_conditions_than_are_looked_at_at_once_hold_as_well(self, conditional: Store) -> None:
        await conditional.put(b"x", b"", at=1)
        absent = [Condition(b"%d" % n, None) for n in range(EVIDENT_MAX + 1)]
        await conditional.send(conditional.write(at=2, token="t-2", puts={b"key": Put(b"value")}), conditions=absent)
        assert (await conditional.values())[b"key"] == b"value"
