from __future__ import annotations

from pathlib import Path

import pytest
from rocksdict import Rdict, WriteBatch
from tests.testing.simulation.theatre import simulated

from soundstage.testing.simulation import disk as simulated_disk
from soundstage.testing.simulation.disk import ForgetfulDisk
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import SimulationLoop


def written(folder: Path, *keys: str, flushed: int, power_lost: bool) -> list[str]:
    """Which of `keys` a copy of the folder holds, when only the first so many were flushed."""

    async def main(loop: SimulationLoop) -> list[str]:
        disk = ForgetfulDisk(str(folder / "here"), SimulatedEnvironment(loop, 1), 0.0)
        db = Rdict(str(folder / "here"))
        for number, key in enumerate(keys):
            batch = WriteBatch()
            batch.put(key, key)
            disk.write(db, batch)
            if number + 1 == flushed:
                disk.flush(db)
        disk.copy(str(folder / "there"), power_lost=power_lost)
        db.close()
        copied = Rdict(str(folder / "there"))
        try:
            return [str(key) for key in copied.keys()]  # noqa: SIM118 - not a dictionary
        finally:
            copied.close()

    return simulated(main)


def test_a_copy_holds_all_that_was_written(tmp_path: Path) -> None:
    assert written(tmp_path, "a", "b", "c", flushed=1, power_lost=False) == ["a", "b", "c"]


@pytest.mark.parametrize(("flushed", "left"), [(1, ["a"]), (2, ["a", "b"]), (3, ["a", "b", "c"])])
def test_a_copy_after_a_loss_of_power_holds_what_was_flushed(tmp_path: Path, flushed: int, left: list[str]) -> None:
    assert written(tmp_path, "a", "b", "c", flushed=flushed, power_lost=True) == left


def test_a_log_that_was_never_flushed_is_empty_after_a_loss_of_power(tmp_path: Path) -> None:
    assert written(tmp_path, "a", flushed=0, power_lost=True) == []


def test_a_flush_takes_its_time(tmp_path: Path) -> None:
    async def main(loop: SimulationLoop) -> int:
        disk = ForgetfulDisk(str(tmp_path), SimulatedEnvironment(loop, 1), 0.002)
        db = Rdict(str(tmp_path))
        disk.flush(db)
        db.close()
        return loop.virtual_ns

    assert simulated(main) == 2_000_000


def test_a_folder_that_never_comes_to_rest_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    changes = iter(range(1_000))
    monkeypatch.setattr(simulated_disk, "_listing", lambda folder: {("file", next(changes))})  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]

    async def main(loop: SimulationLoop) -> None:
        disk = ForgetfulDisk(str(tmp_path / "here"), SimulatedEnvironment(loop, 1), 0.0)
        disk.copy(str(tmp_path / "there"), power_lost=False)

    with pytest.raises(RuntimeError, match="kept changing"):
        simulated(main)
