"""A server as a child process: a process group of its own, which dies with the process that started it.

A warden, a shell that waits for the end of a pipe, kills the group when the pipe's writer is gone, and whoever the
server started that left it: whatever ends this process, SIGKILL too, and whoever the server runs as. The server is
held before its first instruction until the warden stands, so there is no moment in which it could be left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from soundstage.core.errors import Unavailable
from soundstage.servers import family

_HELD = 'read -r go && exec "$@" </dev/null'
_WARDEN = """
group=$1
while read -r line; do :; done
kill -s STOP -- "-$group"
family=" $group " before=
while [ "$family" != "$before" ]; do
    before=$family
    for stat in /proc/[0-9]*/stat; do
        read -r line <"$stat" || continue
        set -- "${line%% *}" ${line##*)}
        case $family in *" $1 "*) ;; *" $3 "*) family="$family$1 " ;; esac
    done
done
kill -s KILL -- "-$group" $family
"""
"""It looks for whoever is not in the family yet, and whose parent is, until it finds nobody more."""

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
            family.signal_group(self.pid, number)

    def pause(self) -> None:
        """The server's process stands still, all its threads, and whoever it started; or it has ended."""
        self.signal(signal.SIGSTOP)
        if self._process.returncode is None:
            # The signal is only the wish: a thread that is under way answers one more request.
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            family.send(family.descendants(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """What was paused goes on."""
        if self._process.returncode is None:
            family.send(family.descendants(self.pid), signal.SIGCONT)
        self.signal(signal.SIGCONT)

    def ends(self, within_s: float) -> bool:
        """Whether the process ends within `within_s`, or has."""
        limit = time.monotonic() + within_s
        while self.running:
            if time.monotonic() > limit:
                return False
            time.sleep(family.POLL_S)
        return True

    def reap(self) -> int:
        """The group is gone, by force if need be, as is its warden; returns the exit status (negative: the signal).

        So is whoever the server started, in groups of their own as PostgreSQL does, unless it ended before them.
        """
        if self._process.returncode is None:
            family.gone(family.kill(self.pid), GONE_WITHIN_S)
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
