"""Items that expire, to the microsecond and by the reader's clock."""

from __future__ import annotations

import pytest

from soundstage.engines.records.port import Budget
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD, Bench

KEY = b"key"
TEN_YEARS_US = 10 * 365 * 86_400_000_000


class Expiry:
    @pytest.mark.parametrize(("now", "live"), [(999, True), (1_000, False), (1_001, False)])
    async def test_an_item_is_absent_from_its_expiry_on(self, bench: Bench, now: int, live: bool) -> None:
        await bench.put(KEY, b"value", at=0, expires=1_000)
        assert bool(await bench.values(now=now)) is live

    @pytest.mark.parametrize(("now", "live"), [(TEN_YEARS_US - 1, True), (TEN_YEARS_US, False)])
    async def test_the_longest_expiry_is_exact_too(self, bench: Bench, now: int, live: bool) -> None:
        await bench.put(KEY, b"value", at=0, expires=TEN_YEARS_US)
        assert bool(await bench.values(now=now)) is live

    @pytest.mark.parametrize(("now", "count"), [(999, 1), (1_000, 0)])
    async def test_an_item_asked_for_by_key_expires_too(self, bench: Bench, now: int, count: int) -> None:
        await bench.put(KEY, b"value", at=0, expires=1_000)
        assert len((await bench.engine.get(bench.spec.name, RECORD, [KEY], bench.at(now))).rows) == count

    @pytest.mark.parametrize(("now", "count"), [(999, 1), (1_000, 0)])
    async def test_an_item_met_on_a_walk_expires_too(self, bench: Bench, now: int, count: int) -> None:
        await bench.put(KEY, b"value", at=0, expires=1_000)
        page = await bench.engine.walk(bench.spec.name, 0, 1, None, Budget(), bench.at(now))
        assert len(page.partitions) == count

    async def test_the_reader_says_what_the_time_is(self, bench: Bench) -> None:
        await bench.put(KEY, b"value", at=0, expires=1_000)
        bench.advance(1_000)
        assert await bench.values(now=999) == {KEY: b"value"}

    async def test_an_expired_put_hides_an_older_one(self, bench: Bench) -> None:
        await bench.put(KEY, b"older", at=-2)
        await bench.put(KEY, b"expired", at=-1, expires=0)
        assert await bench.values() == {}

    async def test_an_expired_put_hides_an_older_one_that_arrives_later(self, bench: Bench) -> None:
        await bench.put(KEY, b"expired", at=-1, expires=0)
        await bench.put(KEY, b"older", at=-2)
        assert await bench.values() == {}

    async def test_a_newer_put_replaces_an_expired_one(self, bench: Bench) -> None:
        await bench.put(KEY, b"expired", at=-2, expires=0)
        await bench.put(KEY, b"newer", at=-1)
        assert await bench.values() == {KEY: b"newer"}

    async def test_a_put_without_expiry_replaces_one_with(self, bench: Bench) -> None:
        await bench.put(KEY, b"old", at=-2, expires=1_000)
        await bench.put(KEY, b"new", at=-1)
        assert await bench.values(now=1_000) == {KEY: b"new"}

    async def test_of_one_token_the_later_expiry_wins(self, bench: Bench) -> None:
        for expires in (2_000, 1_000):
            await bench.put(KEY, b"value", at=0, expires=expires)
        assert await bench.values(now=1_999) == {KEY: b"value"}

    async def test_of_one_token_an_expiry_beats_none(self, bench: Bench) -> None:
        await bench.put(KEY, b"value", at=0, expires=1_000)
        await bench.put(KEY, b"value", at=0)
        assert await bench.values(now=1_000) == {}

    async def test_a_page_uses_one_time_for_all_its_items(self, bench: Bench) -> None:
        puts = {b"%d" % number: Put(b"value", bench.start_us + number) for number in range(10)}
        await bench.send(bench.write(at=0, puts=puts))
        assert list(await bench.values(now=5)) == [b"6", b"7", b"8", b"9"]

    async def test_an_expired_put_raises_the_record(self, bench: Bench) -> None:
        await bench.put(KEY, b"live", at=-2)
        await bench.put(b"expired", b"value", at=-1, token="expired", expires=0)
        assert await bench.stamp() == (-1, "expired")
