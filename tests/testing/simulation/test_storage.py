from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.testing.simulation.theatre import simulated

from soundstage.core import version
from soundstage.engines.records.port import ALL, Batch, Budget, Records, TableSpec
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import SimulationLoop
from soundstage.testing.simulation.storage import (
    SHARED_MEMORY,
    STORAGES,
    End,
    MemoryStorage,
    RocksStorage,
    Storage,
    scratch,
)

TABLE = "suite/items"


def rocks(durability: str, within: Path) -> RocksStorage:
    """A storage whose dice gave it that durability."""
    for seed in range(200):
        storage = RocksStorage(Random(seed), str(within))
        if storage.durability == durability:
            return storage
        storage.close()
    raise AssertionError(f"no seed gives {durability}")


async def started(storage: Storage, environment: SimulatedEnvironment) -> Records:
    engine = storage.open(environment)
    await engine.start()
    await engine.create_table(TableSpec(name=TABLE))
    return engine


async def put(engine: Records, key: bytes) -> None:
    await engine.apply(TABLE, b"record", Batch(cells=[(key, version.put(1, "token", b"value"))]))


async def keys(engine: Records) -> list[bytes]:
    page = await engine.read(TABLE, b"record", ALL, Budget(), 1)
    return [key for key, _ in page.rows]


def after(storage: Storage, end: End, *, acknowledged: bool = True) -> list[bytes]:
    """What the next process finds of a write, when the one that took it has ended so."""

    async def main(loop: SimulationLoop) -> list[bytes]:
        loop.executor_s = 1.0
        environment = SimulatedEnvironment(loop, 1)
        engine = await started(storage, environment)
        await put(engine, b"before")
        writing = loop.create_task(put(engine, b"a"))
        if acknowledged:
            await writing
        else:
            # What comes in one turn of the loop is written at its end.
            for _ in range(5):
                await environment.sleep(0)
            assert not writing.done()
        storage.leave(end)
        writing.cancel()
        await engine.stop()
        reopened = await started(storage, environment)
        try:
            return await keys(reopened)
        finally:
            await reopened.stop()

    try:
        return simulated(main)
    finally:
        storage.close()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_memory_keeps_what_it_acknowledged(end: End) -> None:
    assert after(MemoryStorage(), end) == [b"a", b"before"]


@pytest.mark.parametrize("durability", ["group", "always"])
@pytest.mark.parametrize("end", ["stop", "kill", "power"])
def test_a_flushing_database_keeps_what_it_acknowledged(durability: str, end: End, tmp_path: Path) -> None:
    assert after(rocks(durability, tmp_path), end) == [b"a", b"before"]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_database_that_leaves_it_to_the_system_keeps_what_a_dead_process_acknowledged(
    end: End, tmp_path: Path
) -> None:
    assert after(rocks("os", tmp_path), end) == [b"a", b"before"]


def test_a_killed_process_leaves_what_the_system_was_given(tmp_path: Path) -> None:
    assert after(slow(tmp_path), "kill", acknowledged=False) == [b"a", b"before"]


def test_a_loss_of_power_takes_what_was_not_flushed(tmp_path: Path) -> None:
    assert after(slow(tmp_path), "power", acknowledged=False) == [b"before"]


def slow(within: Path) -> Storage:
    """On a disk so slow that the engine flushes off its loop."""
    for seed in range(200):
        storage = RocksStorage(Random(seed), str(within))
        if storage.durability == "group" and storage.flush_s:
            return storage
        storage.close()
    raise AssertionError("no seed gives a slow disk")


def test_a_loss_of_power_is_asked_only_of_what_promises_to_survive_it(tmp_path: Path) -> None:
    assert "power" not in MemoryStorage().ends
    for durability in ("group", "always"):
        assert rocks(durability, tmp_path).ends == ("stop", "kill", "power")
    assert rocks("os", tmp_path).ends == ("stop", "kill")


def test_only_a_stand_in_for_replicas_applies_batches_in_part(tmp_path: Path) -> None:
    storages: list[Callable[[], Storage]] = [MemoryStorage, lambda: rocks("group", tmp_path)]
    assert [make().takes_parts for make in storages] == [True, False]


def test_one_seed_is_one_database(tmp_path: Path) -> None:
    made = [RocksStorage(Random(seed), str(tmp_path)) for seed in (1, 1)]
    assert made[0].durability == made[1].durability
    assert made[0].flush_s == made[1].flush_s


def test_folders_of_processes_that_ended_are_removed(tmp_path: Path) -> None:
    storage = rocks("group", tmp_path)

    async def main(loop: SimulationLoop) -> list[str]:
        environment = SimulatedEnvironment(loop, 1)
        for _ in range(3):
            engine = await started(storage, environment)
            storage.leave("kill")
            await engine.stop()
        last = await started(storage, environment)
        await last.stop()
        return [path.name for path in storage.folder.parent.iterdir()]

    assert simulated(main) == ["3"]
    storage.close()


def test_nothing_is_left_on_the_machine(tmp_path: Path) -> None:
    storage = rocks("group", tmp_path)
    storage.close()
    storage.close()
    assert list(tmp_path.glob(f"{storage.folder.parent.name}*")) == []


@pytest.mark.parametrize(("name", "kind"), [("memory", MemoryStorage), ("rocksdb", RocksStorage)])
def test_the_storages_of_the_house_are_made_from_dice(name: str, kind: type[Storage]) -> None:
    storage = STORAGES[name](Random(1))
    try:
        assert isinstance(storage, kind)
    finally:
        storage.close()


def test_one_throw_of_the_dice_is_one_storage() -> None:
    chosen: list[tuple[str, float]] = []
    for _ in range(2):
        storage = RocksStorage(Random(7))
        chosen.append((storage.durability, storage.flush_s))
        storage.close()
    assert chosen[0] == chosen[1]


def test_files_lie_in_memory_where_the_machine_has_it() -> None:
    assert scratch() == (str(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None)


def test_memory_that_was_closed_holds_nothing() -> None:
    storage = MemoryStorage()

    async def main(loop: SimulationLoop) -> list[bytes]:
        environment = SimulatedEnvironment(loop, 1)
        await put(await started(storage, environment), b"a")
        storage.close()
        return await keys(await started(storage, environment))

    assert simulated(main) == []
