"""Repetitions of conditional writes: known for as long as one can arrive, and never applied anew."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import PreconditionFailed, TokenReused
from soundstage.engines.records.port import Capability
from soundstage.testing.model import Put, Write
from soundstage.testing.records.bench import KEPT_US, Bench
from soundstage.testing.records.requirements import requires
from soundstage.testing.records.suite.conditions import ABSENT, KEY


async def call(bench: Bench, digest: bytes = b"digest", at: int = 0, record: bytes = b"record") -> int:
    """One and the same conditional write, every time."""
    write = bench.write(at=at, token="call", puts={KEY: Put(b"first")})
    return await bench.send(write, record, conditions=[ABSENT], digest=digest)


def without_conditions(bench: Bench, shape: str, at: int) -> Write:
    """A write of its own, under the token of `call`."""
    puts = {KEY: Put(b"second")} if shape in ("put", "two") else {}
    markers = [KEY] if shape == "delete" else [b"more"] if shape == "two" else []
    ranges = [(KEY, None)] if shape == "range" else []
    return bench.write(at=at, token="call", puts=puts, markers=markers, ranges=ranges, whole=shape == "record")


class Ledger:
    @requires(Capability.CONDITIONAL)
    async def test_a_repetition_is_answered_as_the_first(self, guarded: Bench) -> None:
        await guarded.put(b"other", b"", at=40)
        assert [await call(guarded) for _ in range(3)] == [41, 41, 41]

    @requires(Capability.CONDITIONAL)
    async def test_a_repetition_changes_nothing(self, guarded: Bench) -> None:
        await call(guarded)
        before = await guarded.page()
        await call(guarded)
        assert await guarded.page() == before

    @requires(Capability.CONDITIONAL)
    async def test_a_repetition_after_later_writes_has_no_effect(self, guarded: Bench) -> None:
        first_us = await call(guarded)
        await guarded.put(KEY, b"later", at=5)
        await guarded.delete(b"unknown", at=9)
        assert (await call(guarded), await guarded.values()) == (first_us, {KEY: b"later"})
        assert await guarded.stamp() == (9, "delete")

    @requires(Capability.CONDITIONAL)
    async def test_a_repetition_after_a_delete_does_not_resurrect(self, guarded: Bench) -> None:
        first_us = await call(guarded)
        await guarded.delete_all(at=5)
        assert (await call(guarded), await guarded.values()) == (first_us, {})

    @requires(Capability.CONDITIONAL)
    async def test_repetitions_at_once_are_one_call(self, guarded: Bench) -> None:
        assert await asyncio.gather(*(call(guarded) for _ in range(20))) == [0] * 20

    @requires(Capability.CONDITIONAL)
    async def test_another_request_under_the_token_is_refused(self, guarded: Bench) -> None:
        await call(guarded)
        before = await guarded.page()
        with pytest.raises(TokenReused):
            await call(guarded, b"another")
        assert await guarded.page() == before

    @requires(Capability.CONDITIONAL)
    @pytest.mark.parametrize("digest", [b"", b"dig", b"digest\0", b"\0digest"])
    async def test_digests_are_compared_whole(self, guarded: Bench, digest: bytes) -> None:
        await call(guarded)
        with pytest.raises(TokenReused):
            await call(guarded, digest)

    @requires(Capability.CONDITIONAL)
    async def test_a_token_is_known_before_conditions_are_looked_at(self, guarded: Bench) -> None:
        await call(guarded)
        write = guarded.write(at=0, token="call", puts={KEY: Put(b"first")})
        assert await guarded.send(write, conditions=[ABSENT, ABSENT]) == 0

    @requires(Capability.CONDITIONAL)
    @pytest.mark.parametrize("at", [0, 40, 41])
    @pytest.mark.parametrize("shape", ["put", "delete", "range", "record", "two"])
    async def test_a_write_without_conditions_under_the_token_is_refused(
        self, guarded: Bench, shape: str, at: int
    ) -> None:
        await guarded.put(b"other", b"", at=40)
        await call(guarded)
        before = await guarded.page()
        with pytest.raises(TokenReused):
            await guarded.send(without_conditions(guarded, shape, at))
        assert await guarded.page() == before

    @requires(Capability.CONDITIONAL)
    async def test_the_token_means_nothing_to_another_record(self, guarded: Bench) -> None:
        await call(guarded)
        await guarded.put(b"other", b"", at=40, record=b"elsewhere")
        assert await guarded.send(without_conditions(guarded, "put", 0), b"elsewhere") == 0

    @requires(Capability.CONDITIONAL)
    async def test_the_token_of_a_later_time_is_another(self, guarded: Bench) -> None:
        first_us = await call(guarded)
        assert await guarded.send(without_conditions(guarded, "put", first_us + 1)) == first_us + 1

    @requires(Capability.CONDITIONAL)
    async def test_a_failure_is_not_recorded(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=-1)
        with pytest.raises(PreconditionFailed):
            await call(guarded)
        await guarded.delete(KEY, at=0)
        assert await call(guarded) == 1

    @requires(Capability.CONDITIONAL)
    async def test_a_token_that_failed_may_name_another_request(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=-1)
        with pytest.raises(PreconditionFailed):
            await call(guarded)
        await guarded.delete(KEY, at=0)
        assert await call(guarded, b"another") == 1

    @requires(Capability.CONDITIONAL)
    async def test_tokens_are_known_per_record(self, guarded: Bench) -> None:
        await call(guarded)
        await call(guarded, b"another", record=b"other")
        assert await guarded.values(b"other") == {KEY: b"first"}

    @requires(Capability.CONDITIONAL)
    async def test_a_token_that_begins_like_a_known_one_is_another(self, guarded: Bench) -> None:
        await call(guarded)
        write = guarded.write(at=5, token="cal", puts={b"x": Put(b"")})
        assert await guarded.send(write, conditions=[], digest=b"another") == 5

    @requires(Capability.CONDITIONAL)
    async def test_a_plain_write_is_not_recorded(self, guarded: Bench) -> None:
        await guarded.put(b"other", b"", at=0, token="call")
        assert await call(guarded, b"another") == 1

    @requires(Capability.CONDITIONAL)
    async def test_a_repetition_is_known_after_a_restart(self, guarded: Bench) -> None:
        first_us = await call(guarded)
        await guarded.put(KEY, b"later", at=5)
        await guarded.reopen()
        assert (await call(guarded), await guarded.values()) == (first_us, {KEY: b"later"})

    @requires(Capability.CONDITIONAL)
    async def test_a_repetition_is_known_for_as_long_as_it_can_arrive(self, guarded: Bench) -> None:
        await call(guarded)
        await guarded.put(KEY, b"later", at=5)
        guarded.advance(KEPT_US)
        await guarded.sweep()
        assert (await call(guarded), await guarded.values()) == (0, {KEY: b"later"})

    @requires(Capability.CONDITIONAL)
    async def test_a_token_is_kept_from_the_time_it_was_stamped_with(self, guarded: Bench) -> None:
        await guarded.put(b"other", b"", at=999)
        first_us = await call(guarded)
        guarded.advance(KEPT_US + 500)
        await guarded.sweep()
        assert await call(guarded) == first_us == 1_000

    @requires(Capability.CONDITIONAL)
    async def test_a_token_is_forgotten_when_no_repetition_can_arrive(self, guarded: Bench) -> None:
        await call(guarded)
        guarded.advance(KEPT_US + 1)
        assert await guarded.sweep() == 1

    @requires(Capability.CONDITIONAL)
    async def test_a_floor_keeps_tokens_too(self, guarded: Bench) -> None:
        await call(guarded)
        await guarded.engine.set_purge_floor(guarded.spec.name, 0)
        guarded.advance(KEPT_US + 1)
        assert await guarded.sweep() == 0
