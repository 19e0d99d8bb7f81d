"""Deleted records, ranges and keys: what they hide, now and of what arrives later."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import Exhausted
from soundstage.engines.records.port import TOMBSTONES_MAX
from soundstage.testing.model import Model, Put, Range, Write
from soundstage.testing.records.bench import Bench
from soundstage.testing.records.writes import shown

KEY = b"key"


def deletes_of(bench: Bench, at: int) -> dict[str, Write]:
    """A write of each kind that deletes `KEY`."""
    return {
        "record": bench.write(at=at, token="delete", whole=True),
        "range": bench.write(at=at, token="delete", ranges=[(b"k", b"l")]),
        "marker": bench.write(at=at, token="delete", markers=[KEY]),
    }


KINDS = ("record", "range", "marker")


class Deletes:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_delete_hides_what_is_older(self, bench: Bench, kind: str) -> None:
        await bench.put(KEY, b"value", at=-2)
        await bench.send(deletes_of(bench, -1)[kind])
        assert await bench.values() == {}

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_delete_hides_what_is_older_and_arrives_later(self, bench: Bench, kind: str) -> None:
        await bench.send(deletes_of(bench, -1)[kind])
        await bench.put(KEY, b"value", at=-2)
        assert await bench.values() == {}

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_delete_hides_what_is_as_old(self, bench: Bench, kind: str) -> None:
        await bench.put(KEY, b"before", at=-1, token="zz")
        await bench.send(deletes_of(bench, -1)[kind])
        await bench.put(KEY, b"after", at=-1, token="zzz")
        assert await bench.values() == {}

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_newer_put_shows_above_a_delete(self, bench: Bench, kind: str) -> None:
        await bench.send(deletes_of(bench, -1)[kind])
        await bench.put(KEY, b"newer", at=0, token="a")
        assert await bench.values() == {KEY: b"newer"}

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_delete_that_arrives_late_leaves_what_is_newer(self, bench: Bench, kind: str) -> None:
        await bench.put(KEY, b"newer", at=0, token="a")
        await bench.send(deletes_of(bench, -1)[kind])
        assert await bench.values() == {KEY: b"newer"}

    @pytest.mark.parametrize("kind", KINDS)
    async def test_an_older_delete_does_not_weaken_a_newer_one(self, bench: Bench, kind: str) -> None:
        await bench.send(deletes_of(bench, -1)[kind])
        await bench.send(deletes_of(bench, -3)[kind])
        await bench.put(KEY, b"between", at=-2)
        assert await bench.values() == {}

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_deleted_item_is_not_found_by_key(self, bench: Bench, kind: str) -> None:
        await bench.put(KEY, b"value", at=-2)
        await bench.send(deletes_of(bench, -1)[kind])
        assert (await bench.engine.get(bench.spec.name, b"record", [KEY], bench.at(0))).rows == []

    async def test_a_delete_leaves_the_other_keys(self, bench: Bench) -> None:
        await bench.send(bench.write(at=-2, puts={b"a": Put(b"1"), b"b": Put(b"2"), b"c": Put(b"3")}))
        await bench.delete(b"b", at=-1)
        assert await bench.values() == {b"a": b"1", b"c": b"3"}

    async def test_a_range_begins_at_its_start_and_ends_before_its_end(self, bench: Bench) -> None:
        keys = (b"a", b"b", b"b\0", b"c", b"c\0", b"d")
        await bench.send(bench.write(at=-1, puts={key: Put(key) for key in keys}))
        await bench.delete_range(b"b", b"c", at=0)
        assert list(await bench.values()) == [b"a", b"c", b"c\0", b"d"]

    async def test_a_range_without_end_reaches_the_last_key(self, bench: Bench) -> None:
        last = b"\xff" * 4_096
        await bench.send(bench.write(at=-1, puts={key: Put(b"") for key in (b"", b"a", b"b", last)}))
        await bench.delete_range(b"b", None, at=0)
        assert list(await bench.values()) == [b"", b"a"]

    async def test_a_range_from_the_empty_key_begins_at_the_first(self, bench: Bench) -> None:
        await bench.send(bench.write(at=-1, puts={key: Put(b"") for key in (b"", b"\0", b"a")}))
        await bench.delete_range(b"", b"a", at=0)
        assert list(await bench.values()) == [b"a"]

    @pytest.mark.parametrize("bounds", [(b"a", b"a"), (b"b", b"a")])
    async def test_a_range_of_nothing_hides_nothing(self, bench: Bench, bounds: tuple[bytes, bytes]) -> None:
        await bench.send(bench.write(at=-1, puts={key: Put(key) for key in (b"a", b"aa", b"b")}))
        await bench.delete_range(*bounds, at=0)
        assert list(await bench.values()) == [b"a", b"aa", b"b"]

    async def test_where_ranges_overlap_the_greater_decides(self, bench: Bench) -> None:
        keys = [bytes([97 + number]) for number in range(12)]
        model, random = Model(), bench.environment.random
        for number in range(150):
            start, end = sorted(random.sample(keys, 2))
            bounds: Range = (start, None if random.random() < 0.1 else end)
            times = [random.randint(-99, 0) for _ in range(3)]
            puts = {key: Put(b"%d" % number) for key in random.sample(keys, 2)}
            for write in (
                bench.write(at=times[0], token=f"d{number}", ranges=[bounds]),
                bench.write(at=times[1], token=f"p{number}", puts=puts),
                *([bench.write(at=times[2], token="w", whole=True)] if random.random() < 0.03 else ()),
            ):
                await bench.send(write)
                model.apply("record", write)
            assert shown(await bench.rows()) == model.items("record", bench.at(0))

    async def test_a_thousand_separate_ranges_are_held(self, bench: Bench) -> None:
        await bench.send(bench.write(at=0, ranges=_separate(TOMBSTONES_MAX)))
        keys = [b"%04d" % number for number in range(2 * TOMBSTONES_MAX)]
        await bench.send(bench.write(at=-1, puts={key: Put(b"") for key in keys}))
        assert list(await bench.values()) == keys[1::2]

    async def test_one_range_more_is_refused_with_advice(self, bench: Bench) -> None:
        await bench.send(bench.write(at=0, ranges=_separate(TOMBSTONES_MAX)))
        with pytest.raises(Exhausted) as refused:
            await bench.delete_range(b"z", None, at=1)
        assert refused.value.hint

    async def test_a_refused_range_leaves_nothing_behind(self, bench: Bench) -> None:
        await bench.send(bench.write(at=0, ranges=_separate(TOMBSTONES_MAX)))
        before = await bench.page()
        with pytest.raises(Exhausted):
            await bench.send(bench.write(at=5, puts={b"new": Put(b"")}, ranges=[(b"z", None)]))
        await bench.put(b"z", b"shows", at=4)
        assert (await bench.values(), before.rows) == ({b"z": b"shows"}, [])

    async def test_a_wider_range_takes_the_place_of_those_within(self, bench: Bench) -> None:
        await bench.send(bench.write(at=0, ranges=_separate(TOMBSTONES_MAX)))
        await bench.delete_range(b"0", b"1000", at=1)
        await bench.send(bench.write(at=2, ranges=[(b"z%03d" % n, b"z%03d" % n + b"\0") for n in range(400)]))
        assert await bench.stamp() == (2, "token")

    async def test_a_deleted_record_takes_the_place_of_its_ranges(self, bench: Bench) -> None:
        await bench.send(bench.write(at=0, ranges=_separate(TOMBSTONES_MAX)))
        await bench.delete_all(at=1)
        await bench.send(bench.write(at=2, ranges=_separate(TOMBSTONES_MAX)))
        assert await bench.stamp() == (2, "token")

    async def test_ranges_of_one_delete_that_touch_count_as_one(self, bench: Bench) -> None:
        bounds: list[Range] = [(b"%04d" % number, b"%04d" % (number + 1)) for number in range(3_000)]
        bench.environment.random.shuffle(bounds)
        await bench.send(bench.write(at=0, ranges=bounds))
        await bench.put(b"2500", b"hidden", at=-1)
        assert await bench.values() == {}

    async def test_trimming_a_growing_record_never_runs_out_of_ranges(self, bench: Bench) -> None:
        # At a conditional table they wait for one another.
        count = bench.tries(TOMBSTONES_MAX + 50) if bench.spec.conditional else TOMBSTONES_MAX + 50
        calls = [
            bench.write(
                at=number, token=f"t{number}", puts={b"%06d" % number: Put(b"")}, ranges=[(b"", b"%06d" % (number - 2))]
            )
            for number in range(2, count)
        ]
        for start in range(0, len(calls), 50):
            await asyncio.gather(*map(bench.send, calls[start : start + 50]))
        assert len(await bench.values()) == 3


def _separate(count: int) -> list[Range]:
    return [(b"%04d" % number, b"%04d" % number + b"\0") for number in range(0, 2 * count, 2)]
