"""A server as a child process: a process group of its own, which dies with the process that started it.

A warden, a shell that waits for the end of a pipe, kills the group when the pipe's writer is gone: whatever ends
this process, SIGKILL too, and whoever the server runs as. The server is held before its first instruction until
the warden stands, so there is no moment in which it could be left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from soundstage.core.errors import Unavailable

_HELD = 'read -r go && exec "$@" </dev/null'
_WARDEN = 'while read -r line; do :; done; kill -s KILL -- "-$1" 2>/dev/null'
POLL_S = 0.02
GONE_WITHIN_S = 10.0
"""So long who was killed may take to be gone: the kernel gives back what it had first."""


class Child:
    """The process group of one server, started by `command` in `folder`; both its outputs are appended to `log`.

    Its first process keeps the number `pid` until `reap`, so that a signal never reaches a stranger.
    """

    def __init__(self, command: Sequence[str], *, folder: Path, log: Path, variables: Mapping[str, str]) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ("/bin/sh", "-c", _HELD, "sh", *command),
                cwd=folder,
                env={**os.environ, **variables},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._warden = subprocess.Popen(
            ("/bin/sh", "-c", _WARDEN, "sh", str(self.pid)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._let_go()

    @property
    def pid(self) -> int:
        """The number of the server's process, and of its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server's process has not ended; it may be paused."""
        if self._process.returncode is not None:
            return False
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def signal(self, number: signal.Signals) -> None:
        """The whole group has been sent `number`; nothing happens when it has ended."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def pause(self) -> None:
        """The server's process stands still, all its threads, and whoever it started; or it has ended."""
        self.signal(signal.SIGSTOP)
        if self._process.returncode is None:
            # The signal is only the wish: a thread that is under way answers one more request.
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            _send(_descendants(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """What was paused goes on."""
        if self._process.returncode is None:
            _send(_descendants(self.pid), signal.SIGCONT)
        self.signal(signal.SIGCONT)

    def ends(self, within_s: float) -> bool:
        """Whether the process ends within `within_s`, or has."""
        limit = time.monotonic() + within_s
        while self.running:
            if time.monotonic() > limit:
                return False
            time.sleep(POLL_S)
        return True

    def reap(self) -> int:
        """The group is gone, by force if need be, as is its warden; returns the exit status (negative: the signal).

        So is whoever the server started, in groups of their own as PostgreSQL does, unless it ended before them.
        """
        self.signal(signal.SIGSTOP)
        family = _descendants(self.pid) if self._process.returncode is None else []
        self.signal(signal.SIGKILL)
        _send(family, signal.SIGKILL)
        limit = time.monotonic() + GONE_WITHIN_S
        while any(_parent(pid) is not None for pid in family) and time.monotonic() < limit:
            time.sleep(POLL_S)
        self._warden.kill()
        self._warden.wait()
        if self._warden.stdin is not None:
            self._warden.stdin.close()
        return self._process.wait()

    def _let_go(self) -> None:
        held = self._process.stdin
        if held is not None:
            try:
                held.write(b"go\n")
                held.close()
            except BrokenPipeError as error:
                self.reap()
                raise Unavailable("the server's process ended before it began", retryable=True) from error


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    """Whoever `pid` started and whom those started, as of now."""
    children: dict[int, list[int]] = {}
    for number in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        parent = _parent(number)
        if parent is not None:
            children.setdefault(parent, []).append(number)
    found = children.get(pid, [])
    for each in found:
        found += children.get(each, [])
    return found


def _parent(pid: int) -> int | None:
    """Who started a process; None when it has ended."""
    try:
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)
