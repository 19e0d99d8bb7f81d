from __future__ import annotations

import os
from pathlib import Path

import pytest
from benchmarks.slow_disk import fsync_seconds, on_disk


def preloaded(_given: int) -> str:
    return os.environ.get("LD_PRELOAD", "")


def flushes(count: int) -> float:
    return fsync_seconds(Path("/dev/shm"), count)


def test_flushing_takes_time_and_leaves_no_file(tmp_path: Path) -> None:
    assert fsync_seconds(tmp_path, 3) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_work_on_a_slow_disk_feels_each_flush() -> None:
    assert on_disk(20, flushes, 3) >= 0.02


@pytest.mark.slow
def test_without_a_delay_nothing_is_preloaded() -> None:
    assert on_disk(0, preloaded, 0) == ""


@pytest.mark.slow
def test_the_environment_is_as_before() -> None:
    before = dict(os.environ)
    on_disk(1, preloaded, 0)
    assert dict(os.environ) == before
