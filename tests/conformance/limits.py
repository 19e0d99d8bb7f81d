"""Limits of processes that run, in place of a disk that is full: who does not own one can fill none."""

from __future__ import annotations

import resource
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def file_limit(pid: int, size: int) -> Generator[None]:
    """Within the block files of that process, and of those that it starts, end at `size`, as on a disk that is full."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    # Python would keep the part of a compiled module that fits, and fail on it from then on.
    keeps, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = keeps
