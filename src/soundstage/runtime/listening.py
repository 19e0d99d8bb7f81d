"""Sockets to listen on: TCP and Unix, and what is said of an address that cannot be had."""

from __future__ import annotations

import os
import resource
import socket
import stat
from pathlib import Path
from typing import NamedTuple

from soundstage.core.errors import InvalidArgument
from soundstage.runtime.config import MEMORY
from soundstage.runtime.exposure import host_and_port

BACKLOG = 4_096

UNIX = "unix:"

UNIX_PATH_MAX_BYTES = 107
"""What the kernel takes as the path of a socket."""

FILES_SHARE = 0.75
"""How much of the files that the process may open connections may be; engines need the rest."""


class NotListening(OSError):
    """`address` cannot be listened on; `errno` and `strerror` say why."""

    def __init__(self, error: OSError, address: str) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.address = address


class Place(NamedTuple):
    """Where a listener is to be: a host with a port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str | None = None


def place_of(listen: str, data: str, field: str) -> Place:
    """What `HOST:PORT` or `unix:PATH` names; a relative path lies in the folder `data`.

    Raises `InvalidArgument` for anything else.
    """
    if not listen.startswith(UNIX):
        host, port = host_and_port(listen, field)
        return Place(host, port)
    text = listen.removeprefix(UNIX)
    path = Path(text)
    if not path.is_absolute():
        if data == MEMORY:
            raise InvalidArgument(
                f"{listen!r} is below `data`, which is in memory", field=field, hint="give an absolute path"
            )
        path = Path(data).absolute() / path
    if not text or len(os.fsencode(path)) > UNIX_PATH_MAX_BYTES:
        raise InvalidArgument(
            f"{listen!r} is no path of a socket",
            field=field,
            hint=f"use a file's path of 1 to {UNIX_PATH_MAX_BYTES} bytes",
        )
    return Place(path=str(path))


def listener(place: Place) -> socket.socket:
    """A socket that listens there, and for a Unix socket belongs to this user alone. Raises `NotListening`."""
    return tcp_listener(place.host, place.port) if place.path is None else unix_listener(place.path)


def tcp_listener(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket that listens on `host`; port 0 picks a free one. Raises `NotListening`.

    A `shared` one listens beside those of other processes at the same address.
    """
    try:
        return socket.create_server((host, port), family=family_of(host), backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        raise NotListening(error, f"{bracketed(host)}:{port}") from error


def family_of(host: str) -> socket.AddressFamily:
    """Which kind of address `host` is."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def unix_listener(path: str) -> socket.socket:
    """A socket that listens at `path`, where a socket that nobody listens on is replaced. Raises `NotListening`."""
    made = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        before = os.umask(0o177)
        try:
            made.bind(path)
        finally:
            os.umask(before)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise NotListening(error, path) from error
    return made


def bracketed(host: str) -> str:
    """`host` as a URL writes it."""
    return f"[{host}]" if ":" in host else host


def allow_files(connections: int) -> int:
    """How many of `connections` may be open at a time, once the process may open as many files as can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = round(connections / FILES_SHARE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return connections if soft == resource.RLIM_INFINITY else min(connections, round(soft * FILES_SHARE))


def _remove_stale(path: str) -> None:
    """A socket file that a process left behind is gone; anything else is let be."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(path) == 0:
            return
    os.unlink(path)
