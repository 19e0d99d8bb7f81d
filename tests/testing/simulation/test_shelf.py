"""Machines that end at any step, on a disk that forgets what was not flushed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
from tests.testing.simulation.theatre import simulated

from soundstage.core.errors import NotFound, Unavailable
from soundstage.engines.blobs.file.engine import FileBlobs
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import SimulationLoop
from soundstage.testing.simulation.shelf import Died, ForgetfulFolder, Shelf, trusted
from soundstage.testing.simulation.turn import Turn, taking

T = TypeVar("T")


async def chunks() -> AsyncGenerator[bytes]:
    yield b"bytes"


def on_shelf(body: Callable[[Shelf], Awaitable[T]], *, refusing: float = 0.0, ends: list[int] | None = None) -> T:
    async def main(loop: SimulationLoop) -> T:
        shelf = Shelf(
            SimulatedEnvironment(loop, "test"),
            Random(3),
            quota=1 << 20,
            on_end=lambda: (ends if ends is not None else []).append(1),
            refusing=refusing,
        )
        await shelf.start()
        try:
            return await body(shelf)
        finally:
            await shelf.stop()

    return simulated(main)


@pytest.mark.parametrize("power_lost", [False, True])
def test_what_was_kept_is_there_on_the_next_machine(power_lost: bool) -> None:
    ends: list[int] = []

    async def body(shelf: Shelf) -> str:
        await shelf.call(lambda engine: engine.put("a", chunks()))
        shelf.end(power_lost=power_lost)
        await shelf.ready()
        return (await shelf.call(lambda engine: engine.head("a"))).key

    assert (on_shelf(body, ends=ends), ends) == ("a", [1])


def test_a_call_that_outlives_its_machine_has_died() -> None:
    async def body(shelf: Shelf) -> None:
        async def ending(engine: FileBlobs) -> None:
            shelf.end(power_lost=False)

        with pytest.raises(Died):
            await shelf.call(ending)
        with pytest.raises(Unavailable, match="is down"):
            await shelf.call(lambda engine: engine.usage())

    on_shelf(body)


def test_what_a_machine_does_after_its_end_nobody_sees() -> None:
    async def body(shelf: Shelf) -> None:
        async def late(engine: FileBlobs) -> None:
            shelf.end(power_lost=False)
            await engine.put("a", chunks())

        with pytest.raises(Died):
            await shelf.call(late)
        await shelf.ready()
        with pytest.raises(NotFound):
            await shelf.call(lambda engine: engine.head("a"))

    on_shelf(body)


def test_one_machine_ends_once() -> None:
    async def body(shelf: Shelf) -> int:
        shelf.end(power_lost=False)
        shelf.end(power_lost=True)
        await shelf.ready()
        return shelf.lives

    assert on_shelf(body) == 1


def test_a_disk_refuses_flushes_as_often_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundstage.testing.simulation.shelf.END_RATE", 0.0)

    async def body(shelf: Shelf) -> None:
        with taking(Turn(Random(1))):
            with pytest.raises(Unavailable, match="bad day"):
                await shelf.call(lambda engine: engine.put("a", chunks()))
            assert shelf.counts["refused"] == 1
            with trusted():
                await shelf.call(lambda engine: engine.put("a", chunks()))

    on_shelf(body, refusing=1.0)


def test_it_ends_by_itself_at_some_step() -> None:
    async def body(shelf: Shelf) -> int:
        with taking(Turn(Random(1))):
            for _ in range(3_000):
                try:
                    await shelf.call(lambda engine: engine.put("a", chunks()))
                except Died:
                    return shelf.lives
        return 0

    assert on_shelf(body) == 1


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    async def body(shelf: Shelf) -> Path:
        shelf.end(power_lost=False)
        await shelf.ready()
        return shelf.folder

    assert not on_shelf(body).parent.exists()


class TestForgetting:
    """Of what was not flushed a loss of power keeps some and loses some, and of what was it keeps all."""

    @pytest.fixture
    def shard(self, tmp_path: Path) -> Path:
        found = tmp_path / "is" / "objects" / "00"
        found.mkdir(parents=True)
        return found

    @staticmethod
    def disk(shard: Path) -> ForgetfulFolder:
        return ForgetfulFolder(shard.parent.parent, lambda: None, lambda: False)

    @staticmethod
    def after(disk: ForgetfulFolder, tmp_path: Path, name: str) -> set[bytes | None]:
        """What may be found under a name, over many losses of power."""
        found: set[bytes | None] = set()
        for seed in range(20):
            folder = tmp_path / f"{seed}"
            disk.copy(folder, Random(seed), power_lost=True)
            path = folder / "objects" / "00" / name
            found.add(path.read_bytes() if path.exists() else None)
        return found

    def test_a_file_that_is_safe_stays(self, shard: Path, tmp_path: Path) -> None:
        disk, path = self.disk(shard), shard / "a"
        with path.open("wb") as file:
            file.write(b"whole")
            file.flush()
            disk.sync(file.fileno())
        disk.sync_folder(shard)
        assert self.after(disk, tmp_path, "a") == {b"whole"}

    def test_one_whose_bytes_are_not_may_be_empty(self, shard: Path, tmp_path: Path) -> None:
        disk = self.disk(shard)
        (shard / "a").write_bytes(b"whole")
        disk.sync_folder(shard)
        assert self.after(disk, tmp_path, "a") == {b"", b"whole"}

    def test_a_name_that_is_not_may_be_gone(self, shard: Path, tmp_path: Path) -> None:
        disk, path = self.disk(shard), shard / "a"
        with path.open("wb") as file:
            file.write(b"whole")
            file.flush()
            disk.sync(file.fileno())
        assert self.after(disk, tmp_path, "a") == {None, b"whole"}

    def test_a_file_whose_removal_is_not_may_be_back(self, shard: Path, tmp_path: Path) -> None:
        disk, path = self.disk(shard), shard / "a"
        path.write_bytes(b"whole")
        disk.know()
        path.unlink()
        assert self.after(disk, tmp_path, "a") == {None, b"whole"}
        disk.sync_folder(shard)
        (tmp_path / "again").mkdir()
        assert self.after(disk, tmp_path / "again", "a") == {None}
