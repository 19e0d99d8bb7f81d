"""What was acknowledged is there after a stop and a start."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.testing.model import Put
from soundstage.testing.records.bench import KEPT_US, Bench
from soundstage.testing.records.suite.walks import walk


class Durability:
    async def test_what_was_acknowledged_is_there_after_a_restart(self, bench: Bench) -> None:
        keys = [b"%03d" % number for number in range(100)]
        await asyncio.gather(*(bench.put(key, key, at=-1) for key in keys))
        await bench.reopen()
        assert await bench.values() == {key: key for key in keys}

    async def test_every_cell_is_the_same_after_a_restart(self, bench: Bench) -> None:
        await bench.send(
            bench.write(at=-3, token="tokén", puts={b"\0": Put(b"\0\xff", bench.at(KEPT_US), b"meta"), b"": Put(b"")})
        )
        before = await bench.page()
        await bench.reopen()
        assert await bench.page() == before

    @pytest.mark.parametrize("kind", ["marker", "range", "record"])
    async def test_deletes_hide_after_a_restart(self, bench: Bench, kind: str) -> None:
        await bench.put(b"key", b"old", at=-3)
        if kind == "marker":
            await bench.delete(b"key", at=-1)
        elif kind == "range":
            await bench.delete_range(b"k", b"l", at=-1)
        else:
            await bench.delete_all(at=-1)
        await bench.reopen()
        await bench.put(b"key", b"late", at=-2)
        assert (await bench.values(), await bench.stamp()) == ({}, (-1, "delete"))

    async def test_overlapping_ranges_are_the_same_after_a_restart(self, bench: Bench) -> None:
        for number in range(0, 40, 3):
            await bench.delete_range(b"%02d" % number, b"%02d" % (number + 9), at=-(number % 7) - 1)
        await bench.reopen()
        for number in range(60):
            await bench.put(b"%02d" % number, b"", at=-4, token="zz")
        found = list(await bench.values())
        fresh = b"fresh"
        for number in range(0, 40, 3):
            start, end = b"%02d" % number, b"%02d" % (number + 9)
            await bench.delete_range(start, end, at=-(number % 7) - 1, record=fresh)
        for number in range(60):
            await bench.put(b"%02d" % number, b"", at=-4, token="zz", record=fresh)
        assert found == list(await bench.values(fresh))

    async def test_an_overwritten_value_does_not_come_back(self, bench: Bench) -> None:
        for number in range(20):
            await bench.put(b"key", b"%d" % number, at=number)
            if number % 5 == 0:
                await bench.reopen()
        assert await bench.values() == {b"key": b"19"}

    async def test_a_trimmed_record_is_the_same_after_a_restart(self, bench: Bench) -> None:
        for number in range(50):
            await bench.put(b"%03d" % number, b"", at=2 * number)
            if number >= 5:
                await bench.delete_range(b"", b"%03d" % (number - 4), at=2 * number + 1)
        before = await bench.page()
        await bench.reopen()
        assert (await bench.page(), len(before.rows)) == (before, 5)
        await bench.put(b"000", b"", at=200)
        assert next(iter(await bench.values())) == b"000"

    async def test_a_walk_meets_everything_after_a_restart(self, bench: Bench) -> None:
        for number in range(50):
            await bench.put(b"key", b"", at=-1, record=b"%d" % number)
        before = await walk(bench)
        await bench.reopen()
        assert await walk(bench) == before

    async def test_stores_are_apart(self, bench: Bench) -> None:
        await bench.put(b"key", b"value", at=0)
        other = await bench.another("other")
        assert await other.tables() == []
        await other.stop()
