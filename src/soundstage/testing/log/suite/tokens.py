"""Under a token, entries are appended once."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import InvalidArgument, TokenReused
from soundstage.engines.log.port import TOKEN_MAX_BYTES, LogCapability, Spot
from soundstage.testing.log.bench import LogBench, entry
from soundstage.testing.records.requirements import requires


class Tokens:
    @requires(LogCapability.TOKEN_DEDUP)
    async def test_a_repetition_is_answered_like_the_first_call(self, bench: LogBench) -> None:
        first = await bench.send(entry(b"a", b"1"), entry(b"b", b"2"), token="t")
        await bench.append(b"between")
        assert await bench.send(entry(b"a", b"1"), entry(b"b", b"2"), token="t") == first
        assert sum(end for _, end in await bench.log.bounds(bench.spec.name)) == 3

    @requires(LogCapability.TOKEN_DEDUP)
    async def test_repetitions_at_the_same_time_append_once(self, bench: LogBench) -> None:
        answers = await asyncio.gather(*(bench.send(entry(b"a"), partition=1, token="t") for _ in range(10)))
        assert answers == [[Spot(1, 0)]] * 10
        assert await bench.values(1) == [b"a"]

    @requires(LogCapability.TOKEN_DEDUP)
    @pytest.mark.parametrize(
        "other",
        [
            [entry(b"b")],
            [entry(b"a"), entry(b"a")],
            [entry(b"a", b"")],
            [entry(b"a", time_us=1)],
            [entry(b"a", headers=(("x", b""),))],
        ],
    )
    async def test_other_entries_under_a_token_are_refused(self, bench: LogBench, other: list[object]) -> None:
        await bench.send(entry(b"a"), partition=0, token="t")
        with pytest.raises(TokenReused):
            await bench.send(*other, partition=0, token="t")  # pyright: ignore[reportArgumentType]
        assert await bench.values() == [b"a"]

    @requires(LogCapability.TOKEN_DEDUP)
    async def test_another_partition_under_a_token_is_refused(self, bench: LogBench) -> None:
        await bench.send(entry(b"a"), partition=0, token="t")
        with pytest.raises(TokenReused):
            await bench.send(entry(b"a"), partition=1, token="t")

    @requires(LogCapability.TOKEN_DEDUP)
    async def test_tokens_of_topics_are_apart(self, bench: LogBench) -> None:
        await bench.another("other")
        await bench.send(entry(b"a"), partition=0, token="t")
        await bench.send(entry(b"b"), partition=0, token="t", topic="other")
        assert (await bench.values(), await bench.values(topic="other")) == ([b"a"], [b"b"])

    @requires(LogCapability.TOKEN_DEDUP)
    @pytest.mark.parametrize("sweeping", [False, True])
    async def test_a_token_is_remembered_for_its_time(self, bench: LogBench, sweeping: bool) -> None:
        await bench.alter(token_us=1_000)
        await bench.send(entry(b"a"), partition=0, token="t")
        for passed_us, there in ((999, 1), (1, 2)):
            bench.advance_us(passed_us)
            if sweeping:
                await bench.swept()
            await bench.send(entry(b"a"), partition=0, token="t")
            assert len(await bench.values()) == there

    @requires(LogCapability.TOKEN_DEDUP)
    async def test_for_how_long_tokens_are_remembered_can_be_changed(self, bench: LogBench) -> None:
        await bench.alter(token_us=9)
        assert await bench.log.topics() == [bench.spec]

    @requires(LogCapability.TOKEN_DEDUP)
    async def test_a_token_is_remembered_after_a_restart(self, bench: LogBench) -> None:
        first = await bench.send(entry(b"a"), partition=0, token="t")
        await bench.reopen()
        assert await bench.send(entry(b"a"), partition=0, token="t") == first
        assert await bench.values() == [b"a"]

    @requires(LogCapability.TOKEN_DEDUP)
    async def test_a_refused_call_uses_no_token(self, bench: LogBench) -> None:
        with pytest.raises(InvalidArgument):
            await bench.send(entry(b"a"), partition=9, token="t")
        await bench.send(entry(b"b"), partition=0, token="t")
        assert await bench.values() == [b"b"]

    @requires(LogCapability.TOKEN_DEDUP)
    async def test_a_topic_that_is_made_again_knows_no_token(self, bench: LogBench) -> None:
        await bench.send(entry(b"a"), partition=0, token="t")
        await bench.log.drop_topic(bench.spec.name)
        await bench.log.create_topic(bench.spec)
        await bench.send(entry(b"b"), partition=0, token="t")
        assert await bench.values() == [b"b"]

    @requires(LogCapability.TOKEN_DEDUP)
    @pytest.mark.parametrize("token", ["", "a\0", "ä" * (TOKEN_MAX_BYTES // 2 + 1)])
    async def test_what_is_no_token_is_refused(self, bench: LogBench, token: str) -> None:
        with pytest.raises(InvalidArgument):
            await bench.send(entry(b"a"), partition=0, token=token)

    @requires(LogCapability.TOKEN_DEDUP)
    async def test_tokens_that_begin_alike_are_apart(self, bench: LogBench) -> None:
        for token in ("t", "t1", "t/1", "ü"):
            await bench.send(entry(token.encode()), partition=0, token=token)
        assert len(await bench.values()) == 4

    @requires(LogCapability.TOKEN_DEDUP)
    async def test_a_token_that_is_used_again_has_its_time_anew(self, bench: LogBench) -> None:
        await bench.alter(token_us=1_000)
        await bench.send(entry(b"a"), partition=0, token="t")
        bench.advance_us(1_000)
        again = await bench.send(entry(b"b"), partition=0, token="t")
        await bench.swept()
        bench.advance_us(999)
        await bench.swept()
        assert await bench.send(entry(b"b"), partition=0, token="t") == again
