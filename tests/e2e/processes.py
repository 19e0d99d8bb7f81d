"""`soundstage` as its users meet it: a process of its own, with a folder, an environment and, if asked, a terminal."""

from __future__ import annotations

import json
import os
import pty
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

WITHIN_S = 60.0
"""Generous: the machine may be busy with other things."""

PROGRAM = (sys.executable, "-m", "soundstage")

ON_TERMINAL = (
    sys.executable,
    "-c",
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'soundstage', *sys.argv[1:]])",
)
"""The same with standard input as its controlling terminal, from which Ctrl-C comes."""


def until(true: Callable[[], Any]) -> Any:
    """What `true` returns once it is; fails when that takes too long. Others have the processor between two looks."""
    ends, pause = time.monotonic() + WITHIN_S, threading.Event()
    while not (found := true()):
        assert time.monotonic() < ends, "it took too long"
        pause.wait(0.005)
    return found


class Ended(NamedTuple):
    """How a process ended and all that it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        return json.loads(self.err.splitlines()[-1])


class Running:
    """A process under way. `terminal` gives it a terminal of that many columns for all of its streams."""

    def __init__(
        self, arguments: tuple[str, ...], folder: Path, variables: Mapping[str, str], *, terminal: int | None = None
    ) -> None:
        self.arguments = arguments
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._out: list[str] = []
        self._err: list[str] = []
        environment = {**surroundings(), **variables}
        if terminal is None:
            self._master = None
            self.process = subprocess.Popen(
                (*PROGRAM, *arguments),
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self._readers = [self._reader(self.process.stdout, self._out), self._reader(self.process.stderr, self._err)]
        else:
            self._master, slave = pty.openpty()
            self.process = subprocess.Popen(
                (*ON_TERMINAL, *arguments),
                cwd=folder,
                env=environment | {"COLUMNS": str(terminal), "TERM": "xterm-256color"},
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
            os.close(slave)
            self._readers = [self._reader(os.fdopen(os.dup(self._master), "rb", buffering=0), self._out)]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def so_far(self) -> str:
        """What it has printed on standard output, or on its terminal."""
        return "".join(self._out)

    @property
    def errors(self) -> str:
        """What it has printed on standard error."""
        return "".join(self._err)

    def line(self, begins: str) -> str:
        """The next line of output that begins so; fails when the process ends without one."""
        while True:
            line = self._lines.get(timeout=WITHIN_S)
            if line is None:
                raise AssertionError(f"{self.arguments} ended without a line {begins!r}: {self.so_far}{self.errors}")
            if line.startswith(begins):
                return line.rstrip()

    def ready(self) -> str:
        """The address of a stage that says it is ready."""
        return self.line("ready ").split()[1]

    def type(self, keys: bytes) -> None:
        """Keys are pressed on its terminal."""
        assert self._master is not None
        os.write(self._master, keys)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, given: bytes | None = None) -> Ended:
        """How it ended, after `given` came on its standard input."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.write(given or b"")
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        code = self.process.wait(WITHIN_S)
        for reader in self._readers:
            reader.join(WITHIN_S)
        self._close()
        return Ended(code, self.so_far, self.errors)

    def stop(self) -> Ended:
        """It was asked to end, as a service manager would."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """It is gone, whatever it was doing. Idempotent."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WITHIN_S)
        for reader in self._readers:
            reader.join(WITHIN_S)
        self._close()

    def _close(self) -> None:
        if self._master is not None:
            os.close(self._master)
            self._master = None
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def _reader(self, stream: IO[bytes] | None, into: list[str]) -> threading.Thread:
        assert stream is not None
        reader = threading.Thread(target=self._read, args=(stream, into), daemon=True)
        reader.start()
        return reader

    def _read(self, stream: IO[bytes], into: list[str]) -> None:
        # A terminal whose other end has closed reports an error where a pipe ends.
        with suppress(OSError), stream:
            for line in stream:
                text = line.decode(errors="surrogateescape")
                into.append(text)
                if into is self._out:
                    self._lines.put(text)
        if into is self._out:
            self._lines.put(None)


class Place:
    """A folder that commands are run in, one after another or at once; what still runs at the end is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Running] = []

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self.started:
            each.kill()

    def start(
        self, *arguments: str, variables: Mapping[str, str] | None = None, terminal: int | None = None
    ) -> Running:
        """`soundstage` with these arguments, under way."""
        self.started.append(Running(arguments, self.folder, variables or {}, terminal=terminal))
        return self.started[-1]

    def cli(
        self,
        *arguments: str,
        given: bytes | None = None,
        variables: Mapping[str, str] | None = None,
        terminal: int | None = None,
    ) -> Ended:
        """`soundstage` with these arguments, at its end."""
        return self.start(*arguments, variables=variables, terminal=terminal).ended(given)


def surroundings() -> dict[str, str]:
    """The environment of the tests without what would configure a stage."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("SOUNDSTAGE_", "OTEL_"))}
    return found | {"COLUMNS": "100", "NO_PROXY": "*"}
