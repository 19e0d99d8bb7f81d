"""Coroutines that get a task of their own only when they have to wait.

Most calls of an engine end with their first step: what they read is in memory, and a write that nothing else
waits for is flushed at once. A task for each would cost more than the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import Any


class Begun:
    """A coroutine after its first step, which gave `waits_for`; awaiting this goes on with it to its end.

    So does `then`, for a coroutine that never asks which task it is in: a task costs as much as many a call does.
    Either way all its steps are in one `context`, as those of a task are: what it sets there, it alone finds again.
    """

    __slots__ = ("_cancelling", "_context", "_coroutine", "_ended", "_waits_for")

    _ended: Callable[[Any, BaseException | None], None]

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any, context: Context) -> None:
        self._context = context
        self._coroutine = coroutine
        self._cancelling = False
        self._waits_for: Any = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        while True:
            if self._waits_for is not None:
                # By this mark a task knows a future that is awaited, and takes it off.
                self._waits_for._asyncio_future_blocking = True
            try:
                sent = yield self._waits_for
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the coroutine
                step: Callable[[], Any] = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, sent)
            try:
                self._waits_for = self._context.run(step)
            except StopIteration as ended:
                return ended.value

    async def ended(self) -> Any:
        """What the coroutine comes to; for a task."""
        return await self

    def then(self, ended: Callable[[Any, BaseException | None], None]) -> None:
        """`ended` is called with what the coroutine comes to, or with what it raises; it goes on without a task."""
        self._ended = ended
        self._go_on_later()

    def cancel(self) -> None:
        """After `then`: the coroutine is told that it is cancelled where it waits, as a task tells it."""
        if self._waits_for is None or not self._waits_for.cancel():
            self._cancelling = True

    def _go_on_later(self) -> None:
        if self._waits_for is None:
            asyncio.get_running_loop().call_soon(self._step, None, context=self._context)
        else:
            self._waits_for.add_done_callback(self._step, context=self._context)

    def _step(self, _: Any) -> None:
        # What has failed is raised by what the coroutine waits for, and not by whoever goes on with it.
        try:
            if self._cancelling:
                self._cancelling = False
                self._waits_for = waits_for = self._coroutine.throw(asyncio.CancelledError())
            else:
                self._waits_for = waits_for = self._coroutine.send(None)
        except StopIteration as end:
            self._ended(end.value, None)
        except BaseException as error:  # noqa: BLE001 - handed to whoever asked for it
            self._ended(None, error)
        else:
            if waits_for is not None:
                waits_for._asyncio_future_blocking = False
            self._go_on_later()

    def close(self) -> None:
        """The coroutine goes no further."""
        self._coroutine.close()


def begin(coroutine: Coroutine[Any, Any, Any]) -> tuple[bool, Any]:
    """`coroutine` after its first step: true and its result, or false and what is left of it, a `Begun`.

    That step has no task, so that it may wait for anything but ask for none. What it raises goes through.
    """
    context = copy_context()
    try:
        waits_for = context.run(coroutine.send, None)
    except StopIteration as ended:
        return True, ended.value
    if waits_for is not None:
        # No task has taken it off, and whoever awaits the same future next would be refused.
        waits_for._asyncio_future_blocking = False
    return False, Begun(coroutine, waits_for, context)
