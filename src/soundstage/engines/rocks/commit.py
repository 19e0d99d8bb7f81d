"""Group commit: many writers, one flush; and nobody is told what a power loss could take back.

A write goes to the log without waiting and joins the open group; one flush per group then makes all of it
durable, off the event loop. Until then the keys it touched are *gated*: a reader of them is answered after
the same flush. A lone writer on a fast disk is flushed inline, which is quicker than any hand-over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeAlias

from soundstage.core.environment import Environment
from soundstage.engines.rocks.options import Durability
from soundstage.engines.rocks.refusals import not_flushed

INLINE_MAX_NS = 1_750_000
"""Flushes that take longer than this leave the loop; with what surrounds one it is less than a handler may hold it."""

GATHER_MAX_NS = 1_000_000
"""While writers keep coming a flush waits for no more than this, or than the time it takes."""

_FORGET = 0.9

Answers: TypeAlias = list[tuple[asyncio.Future[Any], Any]]
"""Who waits for a flush, and what they are told after it."""


class _Group:
    __slots__ = ("gated", "number", "seen", "until_ns", "waiters", "writers")

    def __init__(self, number: int) -> None:
        self.number = number
        self.writers = 0
        self.seen = 1
        self.until_ns: int | None = None
        self.waiters: Answers = []
        self.gated: list[bytes] = []


class GroupCommit:
    """Makes writes durable by calling `flush`, one call at a time.

    `always`: a flush per write. `group`: a flush per group of concurrent writes, which waits for nobody, but while
    more of them come with every turn of the loop, for as long as a flush takes. `os`: none; writes and readers wait
    for nothing. After a failed flush `failed` is called, and everybody waiting is refused.

    `flushes` counts; `flush_ns` is how long one takes: the longest of late, which many fast ones let forget.
    """

    def __init__(
        self,
        flush: Callable[[], None],
        durability: Durability,
        environment: Environment,
        executor: Executor,
        failed: Callable[[Exception], None],
    ) -> None:
        self.flushes: int = 0
        self.flush_ns: float = 0.0
        self._flush = flush
        self._durability = durability
        self._environment = environment
        self._executor = executor
        self._failed = failed
        self._groups = 0
        self._queue: deque[_Group] = deque()
        self._flushing: _Group | None = None
        self._pending: dict[bytes, _Group] = {}

    def join(self, keys: Sequence[bytes]) -> asyncio.Future[None] | None:
        """The write just made to `keys` is part of the next flush; await the future before answering."""
        if self._durability == "os":
            return None
        if not self._queue or self._durability == "always":
            self._open_group()
            # After everything that is ready to run, so that writers of this moment share the flush.
            asyncio.get_running_loop().call_soon(self._begin)
        group = self._gated(keys)
        group.writers += 1
        return self._waiter(group)

    def enter(self, keys: Iterable[bytes], answers: Answers) -> None:
        """The writes of one moment, just made to `keys`, are part of the next flush, after which each has its answer.

        For the durability `group`.
        """
        if not self._queue:
            self._open_group()
        group = self._gated(keys)
        group.writers += len(answers)
        group.waiters += answers
        self._begin()

    def _open_group(self) -> None:
        self._groups += 1
        self._queue.append(_Group(self._groups))

    def _gated(self, keys: Iterable[bytes]) -> _Group:
        """The open group, which `keys` wait for."""
        group = self._queue[-1]
        group.gated += keys
        self._pending.update(dict.fromkeys(keys, group))
        return group

    def gate(self, key: bytes) -> asyncio.Future[None] | None:
        """What a reader of `key` awaits before it answers; None: nothing."""
        group = self._pending.get(key)
        return None if group is None else self._waiter(group)

    def gate_each(self, keys: Sequence[bytes]) -> asyncio.Future[None] | None:
        """What a reader of all `keys` awaits: groups end in order, so the last of theirs ends last."""
        groups = [group for key in keys if (group := self._pending.get(key)) is not None]
        return self._waiter(max(groups, key=lambda group: group.number)) if groups else None

    def gate_all(self) -> asyncio.Future[None] | None:
        """What a reader of everything awaits."""
        group = self._queue[-1] if self._queue else self._flushing
        return None if group is None else self._waiter(group)

    async def settle(self) -> None:
        """Every write made before the call is durable, or refused; those that are made meanwhile may not be."""
        # Groups end in order. Who waited until none is left would wait for ever beside those who go on writing.
        if (waiter := self.gate_all()) is not None:
            await asyncio.wait([waiter])
            waiter.exception()

    def _waiter(self, group: _Group) -> asyncio.Future[None]:
        # One future each: cancelling a task that awaits a shared one would cancel everybody's.
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        group.waiters.append((waiter, None))
        return waiter

    def _begin(self) -> None:
        if not self._queue or self._flushing is not None:
            return
        if self._grows(self._queue[0]):
            asyncio.get_running_loop().call_soon(self._begin)
            return
        group = self._flushing = self._queue.popleft()
        if group.writers == 1 and not self._queue and self.flush_ns < INLINE_MAX_NS:
            self._end(group, self._timed_flush())
            return
        try:
            flushed = asyncio.get_running_loop().run_in_executor(self._executor, self._timed_flush)
        except RuntimeError as error:  # the executor takes no work any more
            self._end(group, error)
            return
        flushed.add_done_callback(lambda done: self._end(group, _outcome(done)))

    def _grows(self, group: _Group) -> bool:
        """Whether writers keep coming, so that waiting for more of them, shorter than for a flush, saves flushes."""
        came, group.seen = group.writers - group.seen, group.writers
        if not came:
            return False
        now_ns = self._environment.monotonic_ns()
        if group.until_ns is None:
            group.until_ns = now_ns + int(min(self.flush_ns, GATHER_MAX_NS))
        return now_ns < group.until_ns

    def _timed_flush(self) -> Exception | None:
        began_ns = self._environment.monotonic_ns()
        try:
            self._flush()
        except Exception as error:  # noqa: BLE001 - handed to every writer of the group
            return error
        took_ns = self._environment.monotonic_ns() - began_ns
        # One slow flush counts at once, many fast ones forget it: a stall inline holds up every caller.
        self.flush_ns = max(took_ns, _FORGET * self.flush_ns + (1 - _FORGET) * took_ns)
        self.flushes += 1
        return None

    def _end(self, group: _Group, error: Exception | None) -> None:
        self._flushing = None
        if error is not None:
            self._fail(group, error)
            return
        for key in group.gated:
            if self._pending.get(key) is group:
                del self._pending[key]
        for waiter, answer in group.waiters:
            if not waiter.done():
                waiter.set_result(answer)
        if self._queue:
            # The writers just answered may write again at once: let them join.
            asyncio.get_running_loop().call_soon(self._begin)

    def _fail(self, group: _Group, error: Exception) -> None:
        refused = [group, *self._queue]
        self._queue.clear()
        self._pending.clear()
        try:
            self._failed(error)
        finally:
            for waiter in (waiter for each in refused for waiter, _ in each.waiters):
                if not waiter.done():
                    waiter.set_exception(not_flushed(error))
                    waiter.exception()


def _outcome(done: asyncio.Future[Exception | None]) -> Exception | None:
    return RuntimeError("the flush was given up") if done.cancelled() else done.result()
