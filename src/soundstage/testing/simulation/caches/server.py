"""A server of the key-value store on the engine of the host and the cache of all: killed, paused, and started anew."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from soundstage.core.call import Call
from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.data.kv.cached_records import CachedRecords
from soundstage.data.kv.service import KeyValueService
from soundstage.data.writeahead.worker import Worker
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.testing.simulation.caches.book import Author
from soundstage.testing.simulation.caches.nodes import CacheWay, SharedCache
from soundstage.testing.simulation.log import LastingLog
from soundstage.testing.simulation.process import Process
from soundstage.testing.simulation.turn import aside

NAMESPACE = "people"
CONFIG: dict[str, Any] = {
    "data": "memory:",
    "engines": {"default": {"url": "memory:"}, "hot": {"url": "lru:"}, "log": {"url": "memory:"}},
    "systems": {"writeahead": {"log": "log"}},
    # It is waited for others when the namespace changes.
    "processes": {"shared": True},
}
POLL_S = 1.0
"""How often a server looks for what others have changed."""

FOLLOWS_S = 300.0
"""So long after somebody began to change something: whoever is paused, or cut off from the store, is back by then."""

RETRY_S = 0.5
PAUSED_AGAIN_S = 70.0
"""A read that is under way in a process is not paused twice."""

ROUNDS_MAX = 50
"""Of the worker that applies sets, at a time."""

R = TypeVar("R")


class Server:
    """One process after the other. `stage` is None while there is none."""

    def __init__(self, process: Process, shared: SharedCache, log: LastingLog) -> None:
        self.process = process
        self.stage: Stage | None = None
        self._shared = shared
        self._log = log
        self._follows_until_s = 0.0
        self._may_pause_s = 0.0

    @property
    def author(self) -> Author:
        """Who answers now."""
        return Author(self.process.number, self.process.life)

    @property
    def records(self) -> CachedRecords | None:
        """The namespace as the process has it."""
        if self.stage is None:
            return None
        return _service_of(self.stage)._serve(NAMESPACE).cached  # pyright: ignore[reportPrivateUsage]

    @property
    def space(self) -> bytes | None:
        """What the keys in the cache have in common, of the namespace's version that the process knows."""
        records = self.records
        return None if records is None else records.tier.space

    def owes(self, record: str) -> bool:
        """Whether it may not have told the cache of all it wrote to the record."""
        records = self.records
        return records is None or records.heads.is_owed(record.encode())

    async def start(self, skew_s: float) -> None:
        """It serves, from when the engine of the host does."""
        self.process.begin(skew_s)
        process = self.process
        way = CacheWay(self._shared, process.number, process.is_cut, process.counts)
        given: Any = {"default": process.records, "hot": way, "log": self._log}
        while True:
            stage = Stage.open(
                config=CONFIG,
                variables={},
                environment=self.process.environment,
                engines=given,
                background=False,
            )
            try:
                await self.process.run(stage.start())
            except SoundstageError:
                await self._shared.environment.sleep(RETRY_S)
                continue
            self.stage = stage
            process.serve(self._follow(stage))
            return

    def expect_change(self) -> None:
        """Somebody is about to change the namespace. Of the hours in which nobody does it need not look."""
        self._follows_until_s = self._now_s + FOLLOWS_S

    @property
    def _now_s(self) -> float:
        return self._shared.environment.monotonic_ns() / 1e9

    async def _follow(self, stage: Stage) -> None:
        """It hears of what others change."""
        while True:
            await self.process.environment.sleep(POLL_S)
            if self._now_s < self._follows_until_s:
                with suppress(SoundstageError):
                    await stage._parts.follower.follow()  # pyright: ignore[reportPrivateUsage]

    async def work_off(self) -> None:
        """Sets of mutations are applied, as far as they can be now. `Unavailable` while it is down."""
        await self._do(_work_off)

    async def erase(self) -> None:
        """What was truncated is erased, as far as that is due. `Unavailable` while it is down."""
        await self._do(_erase)

    async def _do(self, chore: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
        stage = self.stage
        if stage is None:
            raise Unavailable("the server is down", outcome="not_applied")
        error = await self.process.run(_told(chore(stage)))
        if error is not None:
            raise error

    async def configure(self, spec: NamespaceSpec) -> None:
        """The namespace is there, for this server and for those that are started later."""
        assert self.stage is not None
        await self.process.run(self.stage.client(Namespaces).put(namespace=spec))

    async def call(
        self, operation: str, request: Any, within_s: float, system: str = "kv"
    ) -> tuple[Any, tuple[int, int]]:
        """The reply, and when by its clock the call began and ended. `Unavailable` while it is down."""
        stage, environment = self.stage, self.process.environment
        if stage is None:
            raise Unavailable("the server is down", outcome="not_applied")

        async def doing() -> tuple[Any, tuple[int, int]]:
            began_us = environment.now_us()
            deadline_ns = environment.monotonic_ns() + round(within_s * 1e9)
            try:
                reply = await stage.dispatch(system, operation, Call(deadline_ns=deadline_ns), request)
            except SoundstageError as error:
                # Whoever asked may wait no more.
                reply = error
            return reply, (began_us, environment.now_us())

        reply, times_us = await self.process.run(doing())
        if isinstance(reply, SoundstageError):
            raise reply
        return reply, times_us

    def pause(self, seconds: float) -> bool:
        """None of its code runs for so long; false where it was paused a moment ago."""
        now_s = self._now_s
        if now_s < self._may_pause_s:
            return False
        self._may_pause_s = now_s + seconds + PAUSED_AGAIN_S
        self.process.pause(seconds)
        return True

    async def kill(self) -> None:
        """It has ended at once."""
        stage, self.stage = self.stage, None
        self.process.kill()
        await self._leave(stage)

    async def stop(self) -> None:
        """It has stopped in order."""
        stage, self.stage = self.stage, None
        if stage is not None:
            await self._in_time(stage.stop)
        self.process.kill()

    async def _leave(self, stage: Stage | None) -> None:
        """What is left of a process that is gone goes nowhere."""
        if stage is not None:
            with aside():
                await self._in_time(stage.stop)

    async def _in_time(self, stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await stop()
        except SoundstageError:
            return


def _service_of(stage: Stage) -> KeyValueService:
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    return service


async def _told(chore: Coroutine[Any, Any, None]) -> SoundstageError | None:
    """How it ended: whoever asked may wait no more."""
    try:
        await chore
    except SoundstageError as error:
        return error
    return None


async def _work_off(stage: Stage) -> None:
    worker = Worker(*await _service_of(stage).mutations.journal())
    for _ in range(ROUNDS_MAX):
        if not await worker.round():
            return


async def _erase(stage: Stage) -> None:
    await _service_of(stage).erase_truncated(NAMESPACE, lambda: None)
