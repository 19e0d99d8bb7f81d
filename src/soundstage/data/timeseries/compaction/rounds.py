"""What a process does for the segments of all its namespaces, and counts of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Literal

import msgspec

from soundstage.core.errors import InvalidArgument, PreconditionFailed
from soundstage.core.time import NS_PER_S
from soundstage.data.rounds import turn_of
from soundstage.data.timeseries.compaction.compactor import PREFIX, Compactor, Progress, clear_run, due_ns
from soundstage.data.timeseries.compaction.pacing import Pacing
from soundstage.data.timeseries.compaction.stores import TABLE, Stores
from soundstage.data.timeseries.compaction.sweeping import sweep
from soundstage.data.timeseries.feed import digest_of
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.segments.reading import Segments
from soundstage.data.timeseries.slices import Left
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.service import ServiceContext

log: logging.Logger = logging.getLogger("soundstage.timeseries")

PARTITION = "compaction"
ASKED = "asked"
"""The row that says when slices were asked to be rewritten without waiting, in microseconds."""

GONE_NS = 60 * NS_PER_S
"""A namespace is taken as deleted when it was not there for so long: this process may be the last to know of it."""

SWEEP_NS = 3_600 * NS_PER_S
"""Between two looks for runs of a namespace that no slice names."""

CLEAR_NS = 30 * NS_PER_S
"""Between two looks for segments of namespaces that are gone."""


class Compactions:
    """One for each service."""

    def __init__(self, context: ServiceContext, segments: Segments, serve: Callable[[str], ServedNamespace]) -> None:
        self._context = context
        self._environment = context.environment
        self._segments = segments
        self._serve = serve
        self._progress: dict[str, Progress] = {}
        self._pacing = Pacing(context.environment)
        self._stores: Stores | None = None
        self._gone_ns: dict[str, int] = {}
        self._looked_ns: int | None = None
        self.reached: Callable[[str], None] = lambda step: None
        """Told of every step, for tests."""

    async def ask(self, served: ServedNamespace) -> int:
        """Slices that may be rewritten are due now; how many. Raises `InvalidArgument` without the knob."""
        knobs = served.config.compaction
        if knobs is None:
            raise InvalidArgument(
                f"the namespace {served.name!r} has no engine for segments",
                field="namespace",
                hint="set its knob `compaction`",
            )
        now_us = self._environment.now_us()
        entry = await served.table.get(PARTITION, ASKED)
        stamp = None if entry is None else entry.stamp
        # Where it does not hold somebody else asked at the same time.
        with suppress(PreconditionFailed):
            await served.table.write(PARTITION, {ASKED: msgspec.msgpack.encode(now_us)}, {ASKED: stamp}, onward=True)
        await served.catalogue.refresh()
        now_ns = self._environment.now_ns()
        return sum(
            served.lifetime.is_read(each, now_ns) and due_ns(served, knobs, each) - knobs.after <= now_ns
            for each in served.catalogue.slices
        )

    async def round(self, served: ServedNamespace, check: Callable[[], None]) -> bool:
        """See `Compactor.round`."""
        knobs = served.config.compaction
        asked_us = 0
        if knobs is not None:
            await self._noted().note(digest_of(served.view), served.name, knobs.engine)
            entry = await served.table.get(PARTITION, ASKED)
            asked_us = 0 if entry is None else msgspec.msgpack.decode(entry.value, type=int)
        return await self._compactor(served, check).round(knobs, asked_us)

    async def clear_left(self, served: ServedNamespace, check: Callable[[], None]) -> None:
        """See `Compactor.clear_left`; and once an hour `sweep`, on every engine that may have segments of it."""
        progress = self._progress.setdefault(served.name, Progress())
        await self._compactor(served, check).clear_left()
        now_ns = self._environment.monotonic_ns()
        if progress.swept_ns is not None and now_ns - progress.swept_ns < SWEEP_NS:
            return
        progress.swept_ns = now_ns
        # Who has not heard that the namespace moved would look for the names of runs in a catalogue that is left.
        stored = await self._context.stored(served.name)
        if stored is None or digest_of(stored) != digest_of(served.view) or stored.version != served.view.version:
            return
        for engine in await self._noted().engines(digest_of(served.view)):
            with turn_of(served.name, "segments that no time slice names are left", log):
                await sweep(served, self._segments.blobs(engine), self._environment.now_us(), check)

    async def clear_run(self, run: Left) -> None:
        """The files of a run are gone. To repeat it is safe."""
        await clear_run(self._segments.blobs(run.engine), run.name)

    async def clear(self, is_gone: Callable[[str, str], bool], check: Callable[[], None]) -> None:
        """Namespaces that have been gone for a while have no segments any more."""
        now_ns = self._environment.monotonic_ns()
        if self._looked_ns is not None and now_ns - self._looked_ns < CLEAR_NS:
            return
        self._looked_ns = now_ns

        async def gone_long(name: str, digest: str) -> bool:
            if not is_gone(name, digest):
                self._gone_ns.pop(digest, None)
                return False
            if now_ns - self._gone_ns.setdefault(digest, now_ns) < GONE_NS:
                return False
            # Segments are the only copy there is, and what this process knows may be behind.
            stored = await self._context.stored(name)
            return stored is None or digest_of(stored) != digest

        async def clear(engine: str, digest: str) -> None:
            check()
            await clear_run(self._segments.blobs(engine), f"{PREFIX}{digest}")

        await self._noted().clear(gone_long, clear)

    def rest(self) -> None:
        """Others may do it from now on: nothing waits for this process."""
        for progress in self._progress.values():
            progress.waiting = 0

    def forget(self, name: str) -> None:
        """Nothing is known of a namespace that was deleted."""
        self._progress.pop(name, None)

    def measurements(self, name: str, labels: Mapping[str, str]) -> Iterable[Measurement]:
        """What this process did for a namespace, if it is the one."""
        progress = self._progress.get(name)
        if progress is None:
            return
        yield _measured("waiting", "Slices that are due to be rewritten", progress.waiting, "gauge", labels)
        for metric, help, value in (
            ("slices", "Slices rewritten into segments", progress.slices),
            ("failures", "Segments that were not what they were made of", progress.failed),
            ("bytes_in", "Keys and values of rows rewritten", progress.bytes_in),
            ("bytes_out", "Bytes of the segments they became", progress.bytes_out),
        ):
            yield _measured(metric, help, value, "counter", labels)

    def _compactor(self, served: ServedNamespace, check: Callable[[], None]) -> Compactor:
        progress, context = self._progress.setdefault(served.name, Progress()), self._context
        return Compactor(served, progress, context.compute, self._environment, self._pacing, check, self.reached)

    def _noted(self) -> Stores:
        if self._stores is None:
            self._stores = Stores(self._context.table(TABLE))
        return self._stores


def _measured(
    metric: str, help: str, value: int, kind: Literal["counter", "gauge"], labels: Mapping[str, str]
) -> Measurement:
    return Measurement(f"timeseries_compaction_{metric}", help, float(value), kind, labels)
