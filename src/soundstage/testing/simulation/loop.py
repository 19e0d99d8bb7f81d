"""An event loop on which time is a number.

Nothing waits: when no callback is ready, the clock jumps to the next timer. Executors run their work in this
thread. The order of callbacks that are ready together is drawn from a seed, so that one seed is one history and
another seed is another. A loop on which nothing can ever happen again raises instead of hanging, and what would
tie a run to the machine (sockets, child processes, calls from other threads) is refused.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from random import Random
from typing import Any, NoReturn, TypeVar, cast

T = TypeVar("T")

COLLECT_ROUNDS = 20_000

PROCESS: ContextVar[object] = ContextVar("process", default=None)
"""What the running code is a process of, where a run has several."""


class Deadlock(RuntimeError):
    """No callback is ready and no timer is set: whoever still waits would wait forever."""


class OutsideTheSimulation(RuntimeError):
    """Something asked for sockets, processes or threads, which have no place in virtual time."""


class SimulationLoop(asyncio.SelectorEventLoop):
    """A deterministic loop in virtual time, for one thread.

    `executor_s` is how long work handed to an executor takes at most; half of it, at most, lies before the work
    is done and half between that and its answer.
    """

    def __init__(self, seed: object) -> None:
        self.virtual_ns: int = 0
        self.executor_s: float = 0.0
        self._chance = Random(f"loop {seed}")
        self._held: dict[object, list[asyncio.Handle]] = {}
        self._thread = threading.get_ident()
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self.virtual_ns / 1e9

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`, and refused from any other thread."""
        if threading.get_ident() != self._thread:
            raise OutsideTheSimulation(
                f"the thread {threading.current_thread().name} calls into virtual time; "
                "engines with threads of their own are tested in real time, by the conformance suite"
            )
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """`func` runs in this thread, at once or within `executor_s`."""
        future: asyncio.Future[T] = self.create_future()
        if not self.executor_s:
            self._work(future, 0.0, func, args)
        else:
            before_s, after_s = (self._chance.uniform(0.0, self.executor_s / 2) for _ in range(2))
            self.call_later(before_s, self._work, future, after_s, func, args)
        return future

    def _work(self, future: asyncio.Future[T], after_s: float, func: Callable[..., T], args: Any) -> None:
        try:
            result, error = func(*args), None
        except Exception as raised:  # noqa: BLE001 - a future carries whatever its function raised
            result, error = None, raised
        if after_s:
            self.call_later(after_s, _answer, future, result, error)
        else:
            _answer(future, result, error)

    def jump(self, seconds: float) -> None:
        """Time has gone on by `seconds`, rounded to nanoseconds."""
        self.virtual_ns += round(seconds * 1e9)

    def hold(self, process: object) -> None:
        """No code of `process` runs, from the next round on, until it is let go; time and everybody else go on."""
        self._held.setdefault(process, [])

    def is_held(self, process: object) -> bool:
        """Whether `process` is not let go yet."""
        return process in self._held

    def let_go(self, process: object) -> None:
        """`process` goes on where it was. Idempotent."""
        cast("Any", self)._ready.extend(self._held.pop(process, ()))

    def let_all_go(self) -> None:
        """Nothing is held any more."""
        for process in list(self._held):
            self.let_go(process)

    def shuffle_ready(self) -> None:
        """Set aside what is held, and reorder what is ready; called between two rounds."""
        ready = cast("Any", self)._ready
        if self._held:
            self._set_aside(ready)
        if len(ready) > 1:
            handles = list(ready)
            self._chance.shuffle(handles)
            ready.clear()
            ready.extend(handles)

    def _set_aside(self, ready: Any) -> None:
        going = list[asyncio.Handle]()
        for handle in ready:
            held = self._held.get(handle._context.get(PROCESS))
            (going if held is None else held).append(handle)
        ready.clear()
        ready.extend(going)

    def add_reader(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        raise _outside()

    def add_writer(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        raise _outside()

    async def create_connection(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        raise _outside()

    async def create_datagram_endpoint(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        raise _outside()

    async def create_server(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        raise _outside()

    async def create_unix_connection(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        raise _outside()

    async def create_unix_server(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        raise _outside()

    async def subprocess_exec(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        raise _outside()

    async def subprocess_shell(self, *args: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        raise _outside()


class _JumpingSelector(selectors.DefaultSelector):
    """Stands where the loop waits for sockets, and moves its clock instead.

    Garbage is looked for after so many rounds: generators that are found in it are closed in tasks of the loop, and
    must be found at the same moment in every run.
    """

    def __init__(self, loop: SimulationLoop) -> None:
        super().__init__()
        self._loop = loop
        self._rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("every task waits for another one")
        if timeout > 0:
            self._loop.jump(timeout)
        self._rounds += 1
        if self._rounds % COLLECT_ROUNDS == 0:
            gc.collect(1)
        self._loop.shuffle_ready()
        return []


def run(main: Callable[[], Coroutine[Any, Any, T]], seed: object) -> T:
    """The result of `main()` run to its end on a fresh loop; tasks it left behind are cancelled."""
    loop = SimulationLoop(seed)
    collects = gc.isenabled()

    async def started() -> T:
        return await main()

    try:
        gc.disable()
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(started())
    finally:
        try:
            _cancel_all(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            if collects:
                gc.enable()


def running_loop() -> SimulationLoop:
    """The loop that this runs on; `RuntimeError` outside of a simulation."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimulationLoop):
        raise RuntimeError("this runs in a simulation only")
    return loop


def _outside() -> OutsideTheSimulation:
    return OutsideTheSimulation("there are no sockets and no child processes in virtual time")


def _answer(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _cancel_all(loop: SimulationLoop) -> None:
    loop.let_all_go()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
