"""A child process that ends with the call that started it, whatever ends the call.

The child leads a process group of its own, so that what it starts dies with it, reads no input, and writes
to a file instead of a pipe, which cannot fill and block it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Unavailable

POLL_S = 0.1
OUTPUT_BYTES_MAX = 4096

_CREDENTIALS = re.compile(r"//[^/\s@]+@")


class Ended(msgspec.Struct, frozen=True):
    """How a child ended: its exit status (negative: the signal) and the end of what it wrote."""

    status: int
    output: str

    def reason(self, lines: int = 4) -> str:
        """The first lines that speak of an error, else the last ones, without credentials in addresses."""
        said = [line.strip() for line in self.output.splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()][:lines]
        return _CREDENTIALS.sub("//***@", "; ".join(errors or said[-lines:])) or f"exit status {self.status}"


def run_child(
    command: Sequence[str],
    *,
    folder: Path,
    log: Path,
    time_limit_s: float,
    environment: Environment,
    variables: dict[str, str],
    tick: Callable[[], None],
) -> Ended:
    """How `command` ended, run without a shell in `folder` with `variables` added to the environment.

    Both its outputs go to the file `log`. `tick` is called every 0.1 s and may raise to cancel. A call that
    does not return has killed the child and what it started. Raises `DeadlineExceeded` after `time_limit_s`
    and `Unavailable` when the command cannot be started.
    """
    limit_ns = environment.monotonic_ns() + round(time_limit_s * 1e9)
    with log.open("wb") as output:
        child = _start(command, folder, variables, output.fileno())
        try:
            while _running(child):
                tick()
                if environment.monotonic_ns() > limit_ns:
                    raise DeadlineExceeded(
                        f"{command[0]} did not end within {time_limit_s:g} s",
                        hint="look at the network or the package mirror, and try again",
                        retryable=True,
                        outcome="not_applied",
                    )
        finally:
            _kill_group(child)
    return Ended(child.returncode, _tail(log))


def _start(command: Sequence[str], folder: Path, variables: dict[str, str], output: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise Unavailable(
            f"cannot start {command[0]}: {error.strerror}", hint="install it, or repair PATH", retryable=False
        ) from error


def _running(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    # Once the leader has been waited for, its number may belong to somebody else.
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _tail(log: Path) -> str:
    with log.open("rb") as output:
        output.seek(max(0, log.stat().st_size - OUTPUT_BYTES_MAX))
        return output.read(OUTPUT_BYTES_MAX).decode("utf-8", "replace")
