"""Copies of a whole engine, and tables brought back from them while others are served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from soundstage.core.errors import AlreadyExists, NotFound, SoundstageError
from soundstage.engines.records.port import ALL, DEFAULT_BUDGET, Capability, Checkpoints, Records
from soundstage.testing.model import Put
from soundstage.testing.records.bench import KEPT_US, RECORD, TABLE, Bench
from soundstage.testing.records.requirements import requires
from soundstage.testing.records.suite.tables import OTHER, count_in, create, put_into
from soundstage.testing.records.suite.walks import keys_by_record, walk


def checkpoints_of(engine: Records) -> Checkpoints:
    assert isinstance(engine, Checkpoints)
    return engine


async def copy(bench: Bench, folder: Path) -> str:
    """A checkpoint is in the folder returned."""
    target = str(folder / "checkpoint")
    await checkpoints_of(bench.engine).checkpoint(target)
    return target


async def restore(bench: Bench, folder: str, *tables: str) -> None:
    """The named tables, or all, are as in `folder`."""
    await checkpoints_of(bench.engine).restore(folder, list(tables) or None)


async def fill(bench: Bench) -> None:
    """Several records with live, deleted and expiring items."""
    for number in range(20):
        puts = {b"%d" % key: Put(b"value", bench.at(50 * KEPT_US) if key == 2 else 0) for key in range(5)}
        await bench.send(bench.write(at=-9, puts=puts), b"record-%d" % number)
        await bench.delete(b"1", at=-8, record=b"record-%d" % number)
        await bench.delete_range(b"3", b"4", at=-7, record=b"record-%d" % number)


class CheckpointsHeld:
    @requires(Capability.CHECKPOINT)
    async def test_a_dropped_table_comes_back_as_it_was(self, bench: Bench, tmp_path: Path) -> None:
        await fill(bench)
        before = await walk(bench)
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        await restore(bench, folder)
        assert await walk(bench) == before

    @requires(Capability.CHECKPOINT)
    async def test_a_copy_holds_nothing_later(self, bench: Bench, tmp_path: Path) -> None:
        await bench.put(b"key", b"before", at=-1)
        folder = await copy(bench, tmp_path)
        await bench.put(b"key", b"after", at=0)
        await bench.engine.drop_table(TABLE)
        await restore(bench, folder)
        assert await bench.values() == {b"key": b"before"}

    @requires(Capability.CHECKPOINT)
    async def test_settings_and_stamps_come_back(self, bench: Bench, tmp_path: Path) -> None:
        await bench.delete_all(at=-1)
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        await restore(bench, folder)
        assert (await bench.engine.tables(), await bench.stamp()) == ([bench.spec], (-1, "delete"))

    @requires(Capability.CHECKPOINT)
    @pytest.mark.parametrize("kind", ["marker", "range", "record"])
    async def test_deletes_hide_after_a_restore(self, bench: Bench, tmp_path: Path, kind: str) -> None:
        if kind == "marker":
            await bench.delete(b"key", at=-1)
        elif kind == "range":
            await bench.delete_range(b"k", b"l", at=-1)
        else:
            await bench.delete_all(at=-1)
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        await restore(bench, folder)
        await bench.put(b"key", b"late", at=-2)
        assert await bench.values() == {}

    @requires(Capability.CHECKPOINT)
    async def test_what_came_back_is_swept_when_it_is_due(self, bench: Bench, tmp_path: Path) -> None:
        await bench.delete_all(at=0)
        await bench.delete_range(b"a", b"b", at=0, record=b"other")
        await bench.put(b"key", b"", at=0, expires=1, record=b"third")
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        await restore(bench, folder)
        assert await bench.sweep() == 0
        bench.advance(KEPT_US + 1)
        assert await bench.sweep() == 3

    @requires(Capability.CHECKPOINT)
    async def test_markers_that_came_back_are_kept_for_their_time(self, bench: Bench, tmp_path: Path) -> None:
        await bench.delete(*(b"%d" % number for number in range(50)), at=0)
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        await restore(bench, folder)
        bench.advance(bench.spec.delete_ttl_min_us - 1)
        assert await bench.sweep() == 0
        bench.advance(bench.kept_us)
        assert await bench.sweep() == 50

    @requires(Capability.CHECKPOINT)
    async def test_a_floor_comes_back(self, bench: Bench, tmp_path: Path) -> None:
        await bench.engine.set_purge_floor(TABLE, 0)
        await bench.delete_all(at=0)
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        await restore(bench, folder)
        bench.advance(KEPT_US + 1)
        assert await bench.sweep() == 0

    @requires(Capability.CHECKPOINT, Capability.CONDITIONAL)
    async def test_tokens_come_back(self, guarded: Bench, tmp_path: Path) -> None:
        write = guarded.write(at=0, token="call", puts={b"key": Put(b"first")})
        await guarded.send(write, conditions=[])
        await guarded.put(b"key", b"later", at=5)
        folder = await copy(guarded, tmp_path)
        await guarded.engine.drop_table(TABLE)
        await restore(guarded, folder)
        assert (await guarded.send(write, conditions=[]), await guarded.values()) == (0, {b"key": b"later"})

    @requires(Capability.CHECKPOINT)
    async def test_tables_of_their_own_files_come_back(self, bench: Bench, tmp_path: Path) -> None:
        await create(bench, dedicated=True)
        await put_into(bench, OTHER, b"value")
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(OTHER)
        await restore(bench, folder, OTHER)
        assert await count_in(bench, OTHER) == 1

    @requires(Capability.CHECKPOINT)
    async def test_only_the_named_tables_come_back(self, bench: Bench, tmp_path: Path) -> None:
        for name in ("suite/a", "suite/b"):
            await create(bench, name)
            await put_into(bench, name, b"value")
        folder = await copy(bench, tmp_path)
        for name in ("suite/a", "suite/b"):
            await bench.engine.drop_table(name)
        await restore(bench, folder, "suite/b")
        assert [spec.name for spec in await bench.engine.tables()] == ["suite/b", TABLE]

    @requires(Capability.CHECKPOINT)
    async def test_a_table_that_is_there_is_not_overwritten(self, bench: Bench, tmp_path: Path) -> None:
        folder = await copy(bench, tmp_path)
        await bench.put(b"key", b"kept", at=0)
        with pytest.raises(AlreadyExists):
            await restore(bench, folder)
        assert await bench.values() == {b"key": b"kept"}

    @requires(Capability.CHECKPOINT)
    async def test_a_table_that_the_copy_has_not_is_refused(self, bench: Bench, tmp_path: Path) -> None:
        folder = await copy(bench, tmp_path)
        with pytest.raises(NotFound):
            await restore(bench, folder, "suite/unknown")

    @requires(Capability.CHECKPOINT)
    async def test_one_unknown_name_brings_nothing_back(self, bench: Bench, tmp_path: Path) -> None:
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        with pytest.raises(NotFound):
            await restore(bench, folder, TABLE, "suite/unknown")
        assert await bench.engine.tables() == []

    @requires(Capability.CHECKPOINT)
    async def test_a_folder_that_is_no_copy_is_refused_and_left_alone(self, bench: Bench, tmp_path: Path) -> None:
        folder = tmp_path / "empty"
        folder.mkdir()
        for wrong in (folder, tmp_path / "missing"):
            with pytest.raises(SoundstageError) as refused:
                await restore(bench, str(wrong))
            assert refused.value.hint
        assert list(folder.iterdir()) == []

    @requires(Capability.CHECKPOINT)
    async def test_a_copy_does_not_overwrite_a_folder(self, bench: Bench, tmp_path: Path) -> None:
        folder = await copy(bench, tmp_path)
        with pytest.raises(AlreadyExists):
            await checkpoints_of(bench.engine).checkpoint(folder)

    @requires(Capability.CHECKPOINT)
    async def test_a_copy_can_be_restored_elsewhere(self, bench: Bench, tmp_path: Path) -> None:
        await fill(bench)
        folder = await copy(bench, tmp_path)
        other = await bench.another("other")
        await checkpoints_of(other).restore(folder)
        mine = await walk(bench)
        found = await other.walk(TABLE, 0, 1, None, DEFAULT_BUDGET, bench.at(None))
        assert {record: [key for key, _ in rows] for record, rows in found.partitions} == keys_by_record(mine)
        await other.stop()

    @requires(Capability.CHECKPOINT)
    async def test_a_copy_can_be_restored_twice(self, bench: Bench, tmp_path: Path) -> None:
        await fill(bench)
        before = await walk(bench)
        folder = await copy(bench, tmp_path)
        for _ in range(2):
            await bench.engine.drop_table(TABLE)
            await restore(bench, folder)
        assert await walk(bench) == before

    @requires(Capability.CHECKPOINT)
    async def test_what_came_back_is_there_after_a_restart(self, bench: Bench, tmp_path: Path) -> None:
        await fill(bench)
        before = await walk(bench)
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        await restore(bench, folder)
        await bench.reopen()
        assert await walk(bench) == before

    @requires(Capability.CHECKPOINT)
    async def test_others_are_served_while_a_table_comes_back(self, bench: Bench, tmp_path: Path) -> None:
        await fill(bench)
        await create(bench)
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        bench.environment.tick_ns = 1_000_000
        coming = asyncio.ensure_future(restore(bench, folder, TABLE))
        served = 0
        # It has begun, and has not come to its end at once.
        await asyncio.sleep(0)
        while not coming.done():
            await put_into(bench, OTHER, b"%d" % served, at=served)
            served += await count_in(bench, OTHER)
            await asyncio.sleep(0)
        await coming
        assert served
        assert len((await bench.engine.read(TABLE, b"record-1", ALL, DEFAULT_BUDGET, bench.at(0))).rows) == 3

    @requires(Capability.CHECKPOINT)
    async def test_a_sweep_during_a_restore_lets_nothing_reappear(self, bench: Bench, tmp_path: Path) -> None:
        await bench.put(b"z", b"newest", at=9)
        puts = {b"%05d" % number: Put(bytes(200)) for number in range(4_000)}
        await bench.send(bench.write(at=-2, puts=puts))
        await bench.delete_range(b"0", b"1", at=-1)
        folder = await copy(bench, tmp_path)
        await bench.engine.drop_table(TABLE)
        bench.advance(bench.kept_us)
        coming = asyncio.ensure_future(restore(bench, folder))
        while not coming.done():
            # Time passes for the restore alone, so that each sweep comes to its end between two parts of it.
            bench.environment.tick_ns = 0
            await bench.engine.sweep(100)
            bench.environment.tick_ns = 1_000_000
            await asyncio.sleep(0)
        await coming
        await bench.sweep()
        assert await bench.values(RECORD) == {b"z": b"newest"}
