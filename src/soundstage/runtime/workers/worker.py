"""One worker: a child process, started again when it ends, and ended when it answers no more."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError, Unavailable, from_problem
from soundstage.runtime.workers.channel import Channel
from soundstage.runtime.workers.liveness import falls_silent
from soundstage.runtime.workers.order import Order, encoded

log: logging.Logger = logging.getLogger("soundstage.workers")

PROGRAM = "soundstage.surface.cli.worker"
"""The module that a child runs, with the number of its end of the channel and its parent's process id."""

BACKOFF_MIN_S = 0.25
BACKOFF_MAX_S = 30.0
SILENT = "it does not answer"

STEADY_S = 60.0
"""A worker that was ready for so long is started again as if it had never ended before."""


class Worker:
    """Keeps a child process for `order` running. `ready` is set once it is for the first time."""

    def __init__(
        self, order: Order, restarts_max: int, environment: Environment, answer: Callable[[str], Awaitable[bytes]]
    ) -> None:
        self.name: str = order.worker
        self.role: str = order.role
        self.restarts: int = 0
        self.process: Process | None = None
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.channel: Channel | None = None
        self._order = order
        self._restarts_max = restarts_max
        self._environment = environment
        self._answer = answer
        self._stopping = False
        self._up = asyncio.Event()
        self._ready_ns: int | None = None
        self._reason: str | None = "it is starting"
        self._problem: SoundstageError | None = None

    @property
    def reason(self) -> str | None:
        """Why the worker does not work at this moment; None when it does."""
        return self._reason

    async def run(self) -> None:
        """The process runs, again and again, until `stop`, or until it ended too often in a row."""
        ended = 0
        while not self._stopping:
            code = await self._once()
            if self._stopping:
                return
            if self._ready_ns is not None and self._now_ns() - self._ready_ns >= STEADY_S * 1e9:
                ended = 0
            ended += 1
            if not self.ready.done():
                self.ready.set_exception(self._problem or _never_ready(self.name, code))
                return
            if ended > self._restarts_max:
                self._reason = f"it ended {ended} times in a row and is not started again"
                log.error("a worker is given up", extra={"worker": self.name, "exit_code": code, "ended": ended})
                return
            pause_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(ended - 1, 16))
            self._reason = "it ended and is started again"
            log.warning(
                "a worker ended and is started again",
                extra={"worker": self.name, "exit_code": code, "in_seconds": pause_s, "ended": ended},
            )
            await self._environment.sleep(pause_s)
            self.restarts += 1

    async def stop(self, timeout_s: float) -> None:
        """The process has drained and ended; one that takes longer than `timeout_s` was killed. Idempotent."""
        self._stopping = True
        self._reason = "it is stopping"
        process = self.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        waiting = asyncio.ensure_future(process.wait())
        _, late = await asyncio.wait({waiting}, timeout=timeout_s)
        if late:
            log.warning("a worker did not stop in time and was killed", extra={"worker": self.name})
            with suppress(ProcessLookupError):
                process.kill()
            await waiting

    async def _once(self) -> int:
        """The exit code of the process, which ran."""
        ours, theirs = socket.socketpair()
        self._ready_ns, self._problem = None, None
        self._up.clear()
        try:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                PROGRAM,
                str(theirs.fileno()),
                str(os.getpid()),
                stdin=DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        except OSError as error:
            ours.close()
            log.warning("a worker cannot be started", extra={"worker": self.name, "reason": str(error)})
            return -1
        finally:
            theirs.close()
        self.channel = channel = await Channel.over(ours, self._answer, self._told)
        channel.tell("order", encoded(self._order))
        listening = asyncio.ensure_future(channel.run())
        watching = asyncio.ensure_future(self._watch(channel, self.process))
        try:
            if self._stopping:
                # It was told to stop while the process was being made.
                self.process.send_signal(signal.SIGTERM)
            code = await self.process.wait()
            # What it said last is still to be read.
            await listening
            return code
        finally:
            channel.close()
            for task in (listening, watching):
                task.cancel()
            await asyncio.gather(listening, watching, return_exceptions=True)
            self.channel = None

    async def _watch(self, channel: Channel, process: Process) -> None:
        """A process that has been ready and answers no more is killed, so that another takes its place."""
        await self._up.wait()
        if await falls_silent(channel.ask, self._environment, self._heard):
            log.error("a worker does not answer and is killed", extra={"worker": self.name})
            with suppress(ProcessLookupError):
                process.kill()

    def _heard(self, answered: bool) -> None:
        if self._reason in (None, SILENT):
            self._reason = None if answered else SILENT

    def _told(self, kind: str, body: bytes) -> None:
        if kind == "ready":
            self._ready_ns, self._reason = self._now_ns(), None
            self._up.set()
            if not self.ready.done():
                self.ready.set_result(body.decode())
        elif kind == "failed":
            self._problem = from_problem(msgspec.json.decode(body))
            log.error("a worker could not start", extra={"worker": self.name, "reason": str(self._problem)})

    def _now_ns(self) -> int:
        return self._environment.monotonic_ns()


def _never_ready(name: str, code: int) -> Unavailable:
    return Unavailable(
        f"the worker {name} ended with the code {code} before it was ready",
        hint="see what it wrote to standard error",
        outcome="not_applied",
        retryable=False,
    )
