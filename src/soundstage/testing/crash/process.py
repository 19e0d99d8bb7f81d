"""A real `soundstage up`, started to be killed."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import msgspec

READY_WITHIN_S = 60.0

SOUNDSTAGE: Sequence[str] = (sys.executable, "-m", "soundstage")
"""What starts the command line of this very installation."""


class _Ready(msgspec.Struct):
    event: str = ""
    url: str | None = None


class StageProcess:
    """A stage in a process of its own, on a free port of the loopback; use as a context manager.

    `RuntimeError`, with what it printed on standard error, when it does not become ready.
    """

    def __init__(
        self,
        data: Path,
        *,
        stage_file: Path | None = None,
        variables: Mapping[str, str] | None = None,
        program: Sequence[str] = SOUNDSTAGE,
    ) -> None:
        command = [*program, "up", "--port", "0", "--data", str(data), "--output", "jsonl"]
        if stage_file is not None:
            command += ["--stage", str(stage_file)]
        self._errors: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**_inherited(), **(variables or {})},
        )
        self._readers = [
            threading.Thread(target=self._read_output, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.url: str = self._ready()

    def __enter__(self) -> StageProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def errors(self) -> str:
        """What it printed on standard error."""
        return "".join(self._errors)

    def kill(self) -> None:
        """The process is gone, without a chance to write anything."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._reap()

    def terminate(self) -> int:
        """The process was asked to drain and has ended; returns its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self) -> int:
        status = self._process.wait(timeout=READY_WITHIN_S)
        for reader in self._readers:
            reader.join(timeout=READY_WITHIN_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        return status

    def _ready(self) -> str:
        while True:
            try:
                line = self._lines.get(timeout=READY_WITHIN_S)
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                raise RuntimeError(f"the stage did not become ready: {self.errors()}")
            url = _url_in(line)
            if url is not None:
                return url

    def _read_output(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        if self._process.stderr is not None:
            self._errors.extend(self._process.stderr)


def _url_in(line: str) -> str | None:
    """The address in a `ready` line, in either form."""
    if line.startswith("ready "):
        return line.split()[1]
    try:
        message = msgspec.json.decode(line, type=_Ready)
    except msgspec.MsgspecError:
        return None
    return message.url if message.event == "ready" else None


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SOUNDSTAGE_")}
