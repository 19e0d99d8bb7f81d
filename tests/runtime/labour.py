"""Work that other processes can import."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def double(number: int, *, add: int = 0) -> int:
    return 2 * number + add


def fail(reason: str) -> None:
    raise LookupError(reason)


def die(code: int) -> None:
    os._exit(code)


def own_pid() -> int:
    return os.getpid()


def mark_and_linger(folder: str) -> None:
    """Says who it is, then lingers for longer than any test."""
    Path(folder, "pid.draft").write_text(str(os.getpid()))
    Path(folder, "pid.draft").rename(Path(folder, "pid"))
    threading.Event().wait(600)
