"""Of all versions of an item the greatest wins, however they arrived."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest

from soundstage.engines.records.port import DEFAULT_BUDGET, Page
from soundstage.testing.model import Put, Write
from soundstage.testing.records.bench import RECORD, Bench
from soundstage.testing.records.writes import batch_of, shown

KEY = b"key"


class Versions:
    async def test_the_later_put_wins(self, bench: Bench) -> None:
        await bench.put(KEY, b"old", at=-2)
        await bench.put(KEY, b"new", at=-1)
        assert await bench.values() == {KEY: b"new"}

    async def test_an_earlier_put_that_arrives_later_changes_nothing(self, bench: Bench) -> None:
        await bench.put(KEY, b"new", at=-1)
        await bench.put(KEY, b"old", at=-2)
        assert await bench.values() == {KEY: b"new"}

    async def test_a_superseded_put_is_acknowledged(self, bench: Bench) -> None:
        await bench.put(KEY, b"new", at=-1)
        assert await bench.put(KEY, b"old", at=-2) == -2

    @pytest.mark.parametrize("tokens", [("a", "b"), ("b", "a"), ("a", "a\x01"), ("z", "é")])
    async def test_at_one_time_the_greater_token_wins(self, bench: Bench, tokens: tuple[str, str]) -> None:
        for token in tokens:
            await bench.put(KEY, token.encode(), at=0, token=token)
        assert await bench.values() == {KEY: max(tokens).encode()}

    @pytest.mark.parametrize("delete_first", [True, False])
    async def test_at_one_time_a_delete_beats_a_put_of_any_token(self, bench: Bench, delete_first: bool) -> None:
        if delete_first:
            await bench.delete(KEY, at=0, token="a")
        await bench.put(KEY, b"value", at=0, token="z")
        if not delete_first:
            await bench.delete(KEY, at=0, token="a")
        assert await bench.values() == {}

    @pytest.mark.parametrize(
        ("lesser", "greater"),
        [
            (Put(b"a"), Put(b"b")),
            (Put(b"a"), Put(b"aa")),
            (Put(b"b", expires_us=2**60), Put(b"a", expires_us=2**61)),
            (Put(b"b", metadata=b"a"), Put(b"a", metadata=b"b")),
            (Put(b"b", metadata=b"b"), Put(b"a", metadata=b"aa")),
        ],
        ids=["value", "longer value", "expiry", "metadata", "longer metadata"],
    )
    @pytest.mark.parametrize("greater_first", [True, False])
    async def test_of_one_token_sent_with_two_payloads_the_greater_wins(
        self, bench: Bench, lesser: Put, greater: Put, greater_first: bool
    ) -> None:
        for each in (greater, lesser) if greater_first else (lesser, greater):
            await bench.send(bench.write(at=0, puts={KEY: each}))
        assert await bench.values() == {KEY: greater.value}

    async def test_what_was_put_comes_back_whole(self, bench: Bench) -> None:
        expires_us = bench.start_us + 1_000
        await bench.send(bench.write(at=-7, token="tokén", puts={KEY: Put(b"\0value\xff", expires_us, b"\0meta")}))
        found = shown(await bench.rows())[KEY]
        assert found == (bench.start_us - 7, 0, "tokén", expires_us, b"\0meta", b"\0value\xff")

    async def test_a_write_is_answered_with_its_greatest_time(self, bench: Bench) -> None:
        assert await bench.put(KEY, b"value", at=-5) == -5

    async def test_repetition_changes_nothing(self, bench: Bench) -> None:
        writes = _every_kind(bench)
        for write in writes:
            await bench.send(write)
        before = await bench.page()
        for write in writes:
            await bench.send(write)
        assert await bench.page() == before

    async def test_every_order_of_arrival_gives_the_same_bytes(self, bench: Bench) -> None:
        async def arrive(number: int, order: tuple[Write, ...]) -> Page:
            record = b"order-%d" % number
            for write in order:
                await bench.send(write, record)
            return await bench.page(record)

        orders = list(permutations(_every_kind(bench)))
        bench.environment.random.shuffle(orders)
        orders = orders[: bench.tries(len(orders))]
        pages = await asyncio.gather(*(arrive(number, order) for number, order in enumerate(orders)))
        assert {_frozen(page) for page in pages} == {_frozen(pages[0])}

    async def test_every_order_with_repetitions_gives_the_same_bytes(self, bench: Bench) -> None:
        writes = _every_kind(bench)

        async def arrive(number: int) -> None:
            arrivals = writes + bench.environment.random.choices(writes, k=len(writes))
            bench.environment.random.shuffle(arrivals)
            for write in arrivals:
                await bench.send(write, b"repeated-%d" % number)

        await asyncio.gather(*map(arrive, range(60)))
        pages = [await bench.page(b"repeated-%d" % number) for number in range(60)]
        assert {_frozen(page) for page in pages} == {_frozen(pages[0])}

    async def test_one_batch_means_the_same_as_its_parts(self, bench: Bench) -> None:
        whole = bench.write(
            at=0, puts={b"a": Put(b"1"), b"c": Put(b"3")}, markers=[b"b"], ranges=[(b"x", b"y")], whole=True
        )
        parts = [
            bench.write(at=0, puts={b"c": Put(b"3")}),
            bench.write(at=0, ranges=[(b"x", b"y")]),
            bench.write(at=0, whole=True),
            bench.write(at=0, markers=[b"b"]),
            bench.write(at=0, puts={b"a": Put(b"1")}),
        ]
        later = {b"x": Put(b"above")}
        for record, writes in ((b"batch", [whole]), (b"parts", parts)):
            await bench.send(bench.write(at=-1, puts={b"a": Put(b"0"), b"b": Put(b"0"), b"xx": Put(b"0")}), record)
            for write in writes:
                await bench.send(write, record)
            await bench.send(bench.write(at=1, puts=later), record)
        assert await bench.page(b"batch") == await bench.page(b"parts")

    async def test_items_and_records_are_separate(self, bench: Bench) -> None:
        await bench.put(b"a", b"1", at=-3)
        await bench.put(b"b", b"2", at=-2, record=b"other")
        await bench.delete(b"a", at=-1, record=b"other")
        assert (await bench.values(), await bench.values(b"other")) == ({b"a": b"1"}, {b"b": b"2"})

    async def test_a_record_knows_the_greatest_version_it_ever_accepted(self, bench: Bench) -> None:
        await bench.put(KEY, b"value", at=-3, token="put")
        await bench.delete(KEY, at=-1, token="delete")
        await bench.put(b"other", b"late", at=-2, token="late")
        assert await bench.stamp() == (-1, "delete")

    async def test_a_version_that_is_hidden_on_arrival_raises_the_record_too(self, bench: Bench) -> None:
        await bench.put(b"other", b"value", at=-3, token="put")
        await bench.delete_range(b"k", b"l", at=-1, token="range")
        await bench.send(bench.write(at=-1, token="zzz", markers=[KEY]))
        assert await bench.stamp() == (-1, "zzz")

    @pytest.mark.parametrize("reverse", [True, False])
    async def test_at_one_time_a_record_is_at_its_delete(self, bench: Bench, reverse: bool) -> None:
        writes = [bench.write(at=0, token="z", puts={KEY: Put(b"")}), bench.write(at=0, token="a", whole=True)]
        for write in reversed(writes) if reverse else writes:
            await bench.send(write)
        assert await bench.stamp() == (0, "a")

    async def test_an_unknown_record_is_empty_and_at_no_version(self, bench: Bench) -> None:
        assert await bench.page(b"unknown") == Page([], None, None)

    async def test_a_read_does_not_create_a_record(self, bench: Bench) -> None:
        await bench.page(b"read")
        assert (await bench.engine.walk(bench.spec.name, 0, 1, None, DEFAULT_BUDGET, bench.at(None))).partitions == []

    async def test_one_call_may_put_and_delete(self, bench: Bench) -> None:
        await bench.put(b"a", b"old", at=-1)
        stamp_us = await bench.engine.apply(
            bench.spec.name, RECORD, batch_of(bench.write(at=0, puts={b"b": Put(b"new")}, markers=[b"a"]))
        )
        assert (stamp_us, await bench.values()) == (bench.at(0), {b"b": b"new"})


def _every_kind(bench: Bench) -> list[Write]:
    """Writes that all touch one another: equal times, a reused token, every kind of delete, an expiry."""
    return [
        bench.write(at=-3, token="one", puts={b"a": Put(b"1"), b"b": Put(b"1"), b"c": Put(b"1")}),
        bench.write(at=-3, token="two", puts={b"a": Put(b"2"), b"b": Put(b"2", bench.start_us), b"d": Put(b"2")}),
        bench.write(at=-3, token="one", puts={b"c": Put(b"reused"), b"e": Put(b"1")}),
        bench.write(at=-2, token="range", ranges=[(b"b", b"d")]),
        bench.write(at=-4, token="whole", whole=True),
        bench.write(at=-2, token="keys", puts={b"c": Put(b"3")}, markers=[b"e", b"f"]),
    ]


def _frozen(page: Page) -> tuple[object, ...]:
    return tuple(page.rows), page.resume, page.stamp
