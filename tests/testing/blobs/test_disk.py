"""The disk under test refuses and waits at the step that was named, and is itself again afterwards."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from soundstage.testing.blobs.disk import diskless, holding, refusing


def test_from_the_named_time_on_a_step_is_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).touch()
    with refusing("unlink", 2, after=False):
        (tmp_path / "a").unlink()
        with pytest.raises(OSError, match="Input/output"):
            (tmp_path / "b").unlink()
    assert os.listdir(tmp_path) == ["b"]


def test_a_step_may_be_refused_once_it_is_done(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with refusing("rename", 1, after=True), pytest.raises(OSError, match="Input/output"):
        os.rename(tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path) == ["b"]


def test_afterwards_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with refusing("unlink", 1, after=False):
        pass
    (tmp_path / "a").unlink()
    assert os.listdir(tmp_path) == []


async def test_who_has_done_the_step_waits_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with holding("unlink", 1) as held:
        removing = asyncio.ensure_future(asyncio.to_thread((tmp_path / "a").unlink))
        await held.reached.wait()
        assert (os.listdir(tmp_path), removing.done()) == ([], False)
        held.release()
        await removing


async def test_the_loop_itself_never_waits(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with holding("unlink", 1) as held:
        (tmp_path / "a").unlink()
        assert not held.reached.is_set()


def test_a_suite_without_a_disk_has_its_other_tests() -> None:
    class Suite:
        def test_of_the_disk(self) -> None: ...
        def test_of_the_rest(self) -> None: ...

    left = diskless(Suite)
    assert (left.test_of_the_disk, callable(left.test_of_the_rest)) == (None, True)
