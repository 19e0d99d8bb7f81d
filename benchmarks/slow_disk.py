"""Disks of a chosen slowness: work is done in a process whose flushes take as long as is asked for."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from benchmarks.report import percentile
from soundstage.testing.crash.disk import build_shim, shim_variables

T = TypeVar("T")
A = TypeVar("A")

APPEND_BYTES = 300


def fsync_seconds(folder: Path, count: int) -> float:
    """How long half of the flushes of a small append to a file in `folder` take at most."""
    path = folder / "fsync-probe"
    took: list[float] = []
    with path.open("ab", buffering=0) as file:
        for _ in range(count):
            file.write(bytes(APPEND_BYTES))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return percentile(took, 0.5)


def on_disk(delay_ms: int, work: Callable[[A], T], given: A) -> T:
    """What `work` returns of `given`, in a process of its own whose flushes take `delay_ms` more; 0: as they are.

    `work` is a function of a module. A delay needs a C compiler: raises `FileNotFoundError` saying what to install.
    """
    with _variables(delay_ms), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, given).result()


@contextmanager
def _variables(delay_ms: int) -> Generator[None]:
    """The environment of processes that are started meanwhile."""
    if not delay_ms:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="soundstage-shim-") as folder:
        added = shim_variables(build_shim(Path(folder)), Path(folder, "journal"), delay_ms)
        before = {name: os.environ.get(name) for name in added}
        os.environ.update(added)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
