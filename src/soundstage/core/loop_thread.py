"""An event loop on a thread of its own, for the synchronous faces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeVar

from soundstage.core.errors import Unavailable

T = TypeVar("T")

_END = object()


class LoopThread:
    """Runs coroutines for callers that have no loop. Started at construction, stopped by `close`."""

    def __init__(self, name: str, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of `coroutine`, run on the loop; it is cancelled if the caller is interrupted.

        Raises `RuntimeError` on the loop's own thread (it would wait for itself), `Unavailable` after `close`.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a synchronous client was called on its own event loop; use the asynchronous one")
        if not self._thread.is_alive():
            coroutine.close()
            raise Unavailable("this client is closed", hint="connect anew", outcome="not_applied", retryable=False)
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncGenerator[T]) -> Generator[T]:
        """The items of an asynchronous generator, each made on the loop when it is asked for.

        Closing this one, as leaving a `for` does, closes that one. Errors as for `run`.
        """
        try:
            while (item := self.run(_next(items))) is not _END:
                yield item
        finally:
            if self._thread.is_alive() and threading.current_thread() is not self._thread:
                self.run(items.aclose())

    def close(self) -> None:
        """The loop has ended, what still ran on it was cancelled. Idempotent."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(items: AsyncGenerator[Any]) -> Any:
    return await anext(items, _END)


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
