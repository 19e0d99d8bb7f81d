"""The socket by which a process offers its engines: where it is, and who may come."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from soundstage.core.errors import Unavailable

BACKLOG = 128


def listening(path: Path) -> socket.socket:
    """A socket at `path` that this user alone may connect to. What a process that died left there is replaced.

    Raises `Unavailable` when a process listens there.
    """
    with suppress(OSError):
        connected(path).close()
        raise Unavailable(f"another process listens at {path}", hint="end it first", retryable=False)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as near:
            with suppress(FileNotFoundError):
                os.unlink(near)
            # Rights that are taken away later would leave a moment in which anybody may connect.
            before = os.umask(0o177)
            try:
                listener.bind(near)
            finally:
                os.umask(before)
            listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"{path} cannot be listened on: {error.strerror}", outcome="not_applied", retryable=False
        ) from None
    listener.setblocking(False)
    return listener


def connected(path: Path) -> socket.socket:
    """A connection to the process that listens at `path`. Raises `OSError`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # So that a process which does not accept is an error, and not a wait that holds the event loop.
    connection.setblocking(False)
    try:
        with _short(path) as near:
            connection.connect(near)
    except OSError:
        connection.close()
        raise
    return connection


def remove(path: Path) -> None:
    """Nobody finds the socket any more."""
    with suppress(OSError):
        path.unlink()


@contextmanager
def _short(path: Path) -> Generator[str]:
    """Another name of `path`: the address of a socket has at most 107 bytes, and folders are where they are."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
