"""Small writes that come in one turn of the loop: resolved one after the other, then written as one batch.

A batch of its own costs RocksDB more than the rows in it. No write waits for company: what has come is resolved and
written, with nothing in between, as soon as the loop has run what was ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from rocksdict import WriteBatch

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.engines.rocks import refusals
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.commit import Answers, GroupCommit
from soundstage.engines.rocks.disk import Stalled

TOGETHER_MAX = 64
"""Writes that are resolved in one go; that takes about half a millisecond."""

Share: TypeAlias = Callable[..., Any]


class Moment:
    """The writes that have come since the last time.

    `write` puts a batch into the log, as `Database.write` does.
    """

    def __init__(
        self,
        write: Callable[[WriteBatch], None],
        commits: GroupCommit,
        translation: refusals.Translation,
        environment: Environment,
    ) -> None:
        self._write = write
        self._commits = commits
        self._translation = translation
        self._environment = environment
        # Python asks the system who it is before it tells the running loop, each time.
        self._loop = asyncio.get_running_loop()
        self._come: list[tuple[Share, tuple[Any, ...], int | None, asyncio.Future[Any]]] = []

    def add(self, share: Share, given: tuple[Any, ...], deadline_ns: int | None) -> asyncio.Future[Any]:
        """What `share`, called with a batch and what is `given`, returned, once all that it put there is durable.

        None when it cannot share; it has put nothing there then, nor when it raises. `Stalled` when the disk cannot
        take the batch at once: nothing is written.
        """
        waiter: asyncio.Future[Any] = self._loop.create_future()
        if not self._come:
            self._loop.call_soon(self.end)
        self._come.append((share, given, deadline_ns, waiter))
        if len(self._come) >= TOGETHER_MAX:
            self.end()
        return waiter

    def end(self) -> None:
        """What has come is written, and flushed before long; or whoever waits for it is told why it is not."""
        come, self._come = self._come, []
        if not come:
            return
        batch, answers, now_ns = AtomicBatch(), Answers(), self._environment.monotonic_ns()
        for share, given, deadline_ns, waiter in come:
            if waiter.done():
                # Its caller has left.
                continue
            try:
                if deadline_ns is not None and now_ns >= deadline_ns:
                    raise refusals.deadline_passed()
                shared = share(batch, *given)
            except Exception as error:  # noqa: BLE001 - handed to whoever asked for the write
                _refuse(waiter, self._translated(error))
                continue
            if shared is None:
                waiter.set_result(None)
            else:
                answers.append((waiter, shared))
        if answers:
            self._put_down(batch, answers)

    def _put_down(self, batch: AtomicBatch, answers: Answers) -> None:
        try:
            batch.complete()
            self._write(batch.rows)
        except (Stalled, SoundstageError) as error:
            for waiter, _ in answers:
                # Each its own: callers add to what they are told.
                _refuse(waiter, Stalled() if isinstance(error, Stalled) else refusals.not_flushed(error))
            return
        batch.was_written()
        self._commits.enter(batch.keys, answers)

    def _translated(self, error: Exception) -> Exception:
        try:
            self._translation.translate(error)
        except SoundstageError as ours:
            return ours
        return error


def _refuse(waiter: asyncio.Future[Any], error: Exception) -> None:
    waiter.set_exception(error)
    # Its caller may leave before it is told.
    waiter.exception()
