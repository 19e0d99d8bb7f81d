"""The sweeper: when what was deleted is forgotten, and that nobody sees it happen."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from soundstage.testing.model import Model, Put, Range, Write
from soundstage.testing.records.bench import KEPT_US, MARKER_MAX_US, MARKER_MIN_US, Bench
from soundstage.testing.records.suite.tables import OTHER, create, put_into
from soundstage.testing.records.writes import batch_of, shown

KEY = b"key"
HIDING = ("record", "range", "expired")
"""Kinds of writes that hide older ones for as long as any can arrive."""


def hiding(bench: Bench, kind: str) -> Write:
    """A write of the present that hides what is older under `KEY`."""
    if kind == "record":
        return bench.write(at=0, token="delete", whole=True)
    if kind == "range":
        return bench.write(at=0, token="delete", ranges=[(b"k", b"l")])
    return bench.write(at=0, token="delete", puts={KEY: Put(b"", bench.start_us)})


class Purging:
    async def test_with_nothing_due_nothing_is_removed(self, bench: Bench) -> None:
        await bench.put(KEY, b"value", at=0)
        assert await bench.engine.sweep(100) == (0, 0, None)

    @pytest.mark.parametrize("kind", HIDING)
    async def test_a_delete_is_kept_while_an_older_write_can_arrive(self, bench: Bench, kind: str) -> None:
        await bench.send(hiding(bench, kind))
        bench.advance(KEPT_US)
        assert await bench.sweep() == 0

    @pytest.mark.parametrize("kind", HIDING)
    async def test_a_delete_is_forgotten_when_no_older_write_can_arrive(self, bench: Bench, kind: str) -> None:
        await bench.send(hiding(bench, kind))
        bench.advance(KEPT_US + 1)
        assert await bench.sweep() == 1

    @pytest.mark.parametrize("kind", HIDING)
    async def test_the_oldest_write_that_can_arrive_is_hidden_after_a_sweep(self, bench: Bench, kind: str) -> None:
        await bench.send(hiding(bench, kind))
        bench.advance(KEPT_US - 1)
        await bench.sweep()
        await bench.put(KEY, b"late", at=-1)
        assert await bench.values() == {}

    async def test_an_item_is_forgotten_no_earlier_than_it_expires(self, bench: Bench) -> None:
        await bench.put(KEY, b"value", at=0, expires=2 * KEPT_US)
        bench.advance(2 * KEPT_US - 1)
        assert (await bench.sweep(), await bench.values()) == (0, {KEY: b"value"})
        bench.advance(1)
        assert (await bench.sweep(), await bench.values()) == (1, {})

    async def test_markers_are_kept_for_at_least_their_least_time(self, bench: Bench) -> None:
        await bench.delete(*(b"%d" % number for number in range(200)), at=0)
        bench.advance(MARKER_MIN_US - 1)
        assert await bench.sweep() == 0

    async def test_markers_are_forgotten_after_their_greatest_time(self, bench: Bench) -> None:
        await bench.delete(*(b"%d" % number for number in range(200)), at=0)
        bench.advance(MARKER_MAX_US + 1)
        assert await bench.sweep() == 200

    async def test_markers_are_forgotten_little_by_little(self, bench: Bench) -> None:
        await bench.delete(*(b"%d" % number for number in range(200)), at=0)
        bench.advance((MARKER_MIN_US + MARKER_MAX_US) // 2)
        assert 50 <= await bench.sweep() <= 150

    async def test_a_late_marker_is_kept_for_its_time_from_its_arrival(self, bench: Bench) -> None:
        bench.advance(KEPT_US)
        await bench.delete(KEY, at=0)
        bench.advance(MARKER_MIN_US - 1)
        assert await bench.sweep() == 0

    async def test_a_put_in_the_place_of_a_marker_stays(self, bench: Bench) -> None:
        await bench.delete(KEY, at=0)
        await bench.put(KEY, b"newer", at=1)
        bench.advance(bench.kept_us)
        await bench.sweep()
        assert await bench.values() == {KEY: b"newer"}

    async def test_a_put_of_the_time_of_what_it_replaced_stays(self, bench: Bench) -> None:
        await bench.put(KEY, b"", at=0, token="a", expires=0)
        await bench.put(KEY, b"lasting", at=0, token="b")
        bench.advance(bench.kept_us)
        await bench.sweep()
        assert await bench.values() == {KEY: b"lasting"}

    @pytest.mark.parametrize("kind", HIDING)
    async def test_what_a_delete_hid_stays_hidden_when_it_is_forgotten(self, bench: Bench, kind: str) -> None:
        # A newer item first, so that an engine cannot drop the hidden ones at once without looking.
        await bench.put(b"kz", b"newer", at=5)
        await bench.send(bench.write(at=-2, puts={KEY: Put(b"hidden"), b"z": Put(b"hidden")}))
        await bench.send(hiding(bench, kind))
        await bench.put(KEY, b"late", at=-1)
        before = await bench.values()
        bench.advance(KEPT_US + 1)
        await bench.sweep()
        assert KEY not in before
        assert await bench.values() == before

    @pytest.mark.parametrize("kind", HIDING)
    async def test_a_record_is_at_its_greatest_version_for_ever(self, bench: Bench, kind: str) -> None:
        await bench.send(hiding(bench, kind))
        bench.advance(bench.kept_us)
        await bench.sweep()
        assert await bench.stamp() == (0, "delete")

    @pytest.mark.parametrize("kind", HIDING)
    async def test_a_floor_of_nought_keeps_everything(self, bench: Bench, kind: str) -> None:
        await bench.send(hiding(bench, kind))
        await bench.engine.set_purge_floor(bench.spec.name, 0)
        bench.advance(10 * KEPT_US)
        assert await bench.sweep() == 0
        await bench.put(KEY, b"copied", at=-1)
        assert await bench.values() == {}

    @pytest.mark.parametrize(("floor", "purged"), [(0, 0), (1, 1)])
    async def test_a_floor_keeps_what_is_not_older(self, bench: Bench, floor: int, purged: int) -> None:
        await bench.delete_all(at=0)
        await bench.engine.set_purge_floor(bench.spec.name, bench.at(floor))
        bench.advance(KEPT_US + 1)
        assert await bench.sweep() == purged

    async def test_a_floor_that_was_lifted_keeps_nothing(self, bench: Bench) -> None:
        await bench.engine.set_purge_floor(bench.spec.name, 0)
        await bench.delete_all(at=0)
        bench.advance(KEPT_US + 1)
        await bench.sweep()
        await bench.engine.set_purge_floor(bench.spec.name, None)
        assert await bench.sweep() == 1

    async def test_a_floor_is_kept_through_a_restart(self, bench: Bench) -> None:
        await bench.engine.set_purge_floor(bench.spec.name, 0)
        await bench.delete_all(at=0)
        await bench.reopen()
        bench.advance(KEPT_US + 1)
        assert await bench.sweep() == 0

    async def test_what_is_due_is_known_after_a_restart(self, bench: Bench) -> None:
        for kind in HIDING:
            await bench.send(hiding(bench, kind), kind.encode())
        await bench.reopen()
        bench.advance(KEPT_US + 1)
        assert await bench.sweep() == len(HIDING)

    async def test_a_held_table_does_not_hold_up_the_others(self, bench: Bench) -> None:
        await create(bench)
        await bench.engine.set_purge_floor(OTHER, 0)
        for number in range(30):
            deleted = batch_of(bench.write(at=-1, token="delete", whole=True))
            await bench.engine.apply(OTHER, b"held-%d" % number, deleted)
        await bench.delete_all(at=0)
        bench.advance(KEPT_US + 1)
        assert sum([(await bench.engine.sweep(3)).purged for _ in range(30)]) == 1

    async def test_a_greater_lag_keeps_what_was_deleted_before(self, bench: Bench) -> None:
        await bench.delete_all(at=0)
        await bench.engine.create_table(msgspec.structs.replace(bench.spec, max_lag_us=3 * KEPT_US))
        bench.advance(KEPT_US + 1)
        assert await bench.sweep() == 0

    async def test_a_lesser_lag_forgets_earlier(self, bench: Bench) -> None:
        await bench.engine.create_table(msgspec.structs.replace(bench.spec, max_lag_us=0))
        await bench.delete_all(at=0)
        bench.advance(60_000_001)
        assert await bench.sweep() == 1

    async def test_a_call_removes_no_more_than_it_may(self, bench: Bench) -> None:
        await bench.delete(*(b"%d" % number for number in range(10)), at=0)
        bench.advance(bench.kept_us)
        swept = await bench.engine.sweep(3)
        assert (swept.purged, swept.backlog) == (3, 7)

    async def test_the_longest_due_goes_first_and_is_told(self, bench: Bench) -> None:
        await bench.put(b"later", b"", at=0, expires=KEPT_US + 50)
        await bench.put(b"first", b"", at=0, expires=KEPT_US + 20)
        bench.advance(KEPT_US + 60)
        assert await bench.engine.sweep(1) == (1, 1, bench.at(KEPT_US + 50))

    async def test_nothing_due_is_left_behind(self, bench: Bench) -> None:
        await asyncio.gather(
            *(
                bench.put(b"%d" % number, b"", at=0, expires=number, record=b"record-%d" % (number % 7))
                for number in range(300)
            )
        )
        bench.advance(KEPT_US + 1)
        assert (await bench.sweep(11), await bench.engine.sweep(11)) == (300, (0, 0, None))

    async def test_a_dropped_table_leaves_nothing_to_remove(self, bench: Bench) -> None:
        await create(bench)
        await put_into(bench, OTHER, b"")
        await bench.engine.apply(OTHER, KEY, batch_of(bench.write(at=0, token="delete", whole=True)))
        await bench.engine.drop_table(OTHER)
        bench.advance(bench.kept_us)
        assert await bench.sweep() == 0

    async def test_the_space_of_a_forgotten_range_is_free_again(self, bench: Bench) -> None:
        for generation in range(3):
            at = generation * (KEPT_US + 1)
            ranges: list[Range] = [(b"%d-%04d" % (generation, n), b"%d-%04d\0" % (generation, n)) for n in range(900)]
            await bench.send(bench.write(at=at, token="delete", ranges=ranges))
            bench.advance(KEPT_US + 1)
            assert await bench.sweep() == 900

    @pytest.mark.parametrize("seed", range(4))
    async def test_sweeping_all_the_time_changes_nothing_that_is_seen(self, bench: Bench, seed: int) -> None:
        random, model = bench.environment.random, Model()
        random.seed(seed)
        keys = [b"%d" % number for number in range(6)]
        for number in range(bench.tries(120)):
            write = self._any_write(bench, number, keys)
            await bench.send(write)
            model.apply("record", write)
            bench.advance(random.choice([0, 1, KEPT_US // 3, KEPT_US, MARKER_MIN_US]))
            await bench.engine.sweep(random.randint(0, 4))
            assert shown(await bench.rows()) == model.items("record", bench.at(None))

    def _any_write(self, bench: Bench, number: int, keys: list[bytes]) -> Write:
        """Of any kind, at any time that can still arrive."""
        random = bench.environment.random
        at = bench.now - random.choice([0, 1, 2, KEPT_US - 1])
        start, end = sorted(random.sample(keys, 2))
        expires_us = random.choice([0, bench.at(at) + 1, bench.at(None) + KEPT_US])
        kind = random.choice(["put", "put", "put", "marker", "range", "record"])
        return bench.write(
            at=at,
            token=f"t{number}",
            puts={random.choice(keys): Put(b"%d" % number, expires_us)} if kind == "put" else {},
            markers=[random.choice(keys)] if kind == "marker" else [],
            ranges=[(start, end)] if kind == "range" else [],
            whole=kind == "record",
        )
