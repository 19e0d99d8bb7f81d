"""What does durability cost? Writes that wait for the disk together against a flush for every put.

The rival is raw rocksdict with `sync`, one put after the other; for `grouped` it is the same store with the durability
`always`, a flush for every put, which shows what grouping brings and costs. A disk that flushes in less than 150 µs is
slowed down by a preloaded library, which needs a C compiler; so is the one on which the loop and readers are watched.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import uvloop
from rocksdict import Rdict, WriteOptions

from benchmarks.report import Figure, figure, interleaved, options, percentile, show
from benchmarks.slow_disk import fsync_seconds, on_disk
from soundstage.data.kv import Condition, KeyValue, MatchKeys, Predicate, PutItem
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import block_cache, open_options
from soundstage.runtime.stage import Stage

WRITERS = 64
READERS = 16
VALUE = bytes(200)
FAST_S = 150e-6
"""Flushes quicker than this measure the program and not the disk."""

FAST_DISK_DELAY_MS = 1
SLOW_DISK_DELAY_MS = 50
TICK_S = 0.001

_FIRST = Predicate(match_keys=MatchKeys(keys=[b"item-00000001"]))


class Scale(msgspec.Struct, frozen=True):
    """How much is done: puts of each writer in a round, and how long readers and the loop are watched."""

    rounds: int
    puts: int
    watched_s: float
    delay_ms: int = 0


FULL = Scale(rounds=15, puts=60, watched_s=20.0)
QUICK = Scale(rounds=5, puts=20, watched_s=5.0)


class Watched(msgspec.Struct, frozen=True):
    """What the loop and the readers felt of a slow disk, in seconds."""

    fsync_s: float
    reads: int
    read_p99_s: float
    lag_p99_s: float


class Bare:
    """One put after the other, each flushed by itself."""

    def __init__(self, folder: Path) -> None:
        self._db = Rdict(str(folder), open_options(RocksOptions(), block_cache(8 << 20)))
        self._sync = WriteOptions()
        self._sync.sync = True
        self._number = 0

    def puts(self, count: int) -> float:
        """Puts per second."""
        began = time.perf_counter()
        for _ in range(count):
            self._number += 1
            self._db.put(b"record-%08d/item" % self._number, VALUE, self._sync)
        return count / (time.perf_counter() - began)

    def close(self) -> None:
        self._db.close()


class Ours:
    """The key-value store of a stage in this process, durable by group commit."""

    def __init__(self, runner: asyncio.Runner, stage: Stage) -> None:
        self._runner = runner
        self._kv = stage.client(KeyValue, "bench")
        self._number = 0
        self.per_core: dict[str, list[float]] = {}

    async def put_anew(self) -> None:
        """A record of its own."""
        self._number += 1
        await self._kv.put_items(id=f"record-{self._number:08d}", items=[PutItem(key=b"item", value=VALUE)])

    async def put_into_one(self) -> None:
        """An item of a record that all writers share."""
        self._number += 1
        await self._kv.put_items(id="one", items=[PutItem(key=b"item-%08d" % self._number, value=VALUE)])

    async def put_if_absent(self) -> None:
        """A record of its own, on condition that it is not there."""
        self._number += 1
        await self._kv.put_items(
            id=f"conditional-{self._number:08d}",
            items=[PutItem(key=b"item", value=VALUE)],
            condition=Condition(absent=True),
        )

    def puts(self, put: Callable[[], Awaitable[None]], writers: int, count: int) -> float:
        """Puts per second of `writers` that do `count` each; what a core does is noted beside it."""
        return self._runner.run(self._puts(put, writers, count))

    async def _puts(self, put: Callable[[], Awaitable[None]], writers: int, count: int) -> float:
        async def write() -> None:
            for _ in range(count):
                await put()

        cpu, began = time.process_time(), time.perf_counter()
        await asyncio.gather(*(write() for _ in range(writers)))
        took, burnt = time.perf_counter() - began, time.process_time() - cpu
        if writers > 1:
            self.per_core.setdefault(put.__name__, []).append(writers * count / burnt)
        return writers * count / took

    def watch(self, scale: Scale, fsync_s: float) -> Watched:
        """Reads of a record that is always in flight, and the loop's lag, for a while."""
        return self._runner.run(self._watch(scale, fsync_s))

    async def _watch(self, scale: Scale, fsync_s: float) -> Watched:
        until = time.perf_counter() + scale.watched_s
        took: list[float] = []
        lags: list[float] = []

        async def write() -> None:
            while time.perf_counter() < until:
                await self.put_into_one()

        async def read(draw: random.Random) -> None:
            while time.perf_counter() < until:
                await asyncio.sleep(draw.random() * fsync_s)
                began = time.perf_counter()
                await self._kv.get_items(id="one", predicate=_FIRST)
                took.append(time.perf_counter() - began)

        async def tick() -> None:
            while time.perf_counter() < until:
                began = time.perf_counter()
                await asyncio.sleep(TICK_S)
                lags.append(time.perf_counter() - began - TICK_S)

        await self.put_into_one()
        writers = (write() for _ in range(WRITERS))
        await asyncio.gather(*writers, *(read(random.Random(seed)) for seed in range(READERS)), tick())
        return Watched(fsync_s, len(took), percentile(took, 0.99), percentile(lags, 0.99))


@contextmanager
def opened(folder: Path, durability: str = "group") -> Generator[Ours]:
    """A stage in `folder`."""
    config = {
        "data": str(folder),
        "engines": {"default": {"url": "rocksdb:ours", "durability": durability}},
        "namespaces": {"bench": {"abstraction": "kv"}},
    }
    stage = Stage.open(config=config, variables={})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(stage.start())
        try:
            yield Ours(runner, stage)
        finally:
            runner.run(stage.stop())


def measure_puts(scale: Scale) -> list[Figure]:
    """Figures of throughput, on the disk that this process has."""
    with (
        tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder,
        opened(Path(folder)) as ours,
        opened(Path(folder, "always"), "always") as always,
    ):
        fsync_s = fsync_seconds(Path(folder), 100)
        bare = Bare(Path(folder, "bare"))
        try:
            note = f"fsync p50 {fsync_s * 1e6:,.0f} µs"
            return [*_figures_of_puts(scale, ours, bare, note), *_figures_of_grouping(scale, ours, always, note)]
        finally:
            bare.close()


def _figures_of_puts(scale: Scale, ours: Ours, bare: Bare, note: str) -> list[Figure]:
    many: dict[str, Callable[[], Awaitable[None]]] = {
        "put_64": ours.put_anew,
        "put_64_one_record": ours.put_into_one,
        "put_64_conditional": ours.put_if_absent,
    }
    sides = [
        *(partial(ours.puts, put, WRITERS, scale.puts) for put in many.values()),
        lambda: ours.puts(ours.put_anew, 1, scale.puts),
        lambda: bare.puts(scale.puts),
    ]
    for side in sides:
        side()
    ours.per_core.clear()
    *rates, alone, rival = interleaved(scale.rounds, *sides)
    figures = [
        figure(f"kv_durable.{name}", rate, rival, "puts/s", "higher", target=10, note=note)
        for name, rate in zip(many, rates, strict=True)
    ]
    figures.append(figure("kv_durable.put_alone", alone, rival, "puts/s", "higher", target=0.95, note=note))
    return figures + [_per_core(ours, name, put) for name, put in many.items()]


def _figures_of_grouping(scale: Scale, ours: Ours, always: Ours, note: str) -> list[Figure]:
    sides = [
        partial(side.puts, side.put_anew, writers, scale.puts) for writers in (WRITERS, 1) for side in (ours, always)
    ]
    for side in sides:
        side()
    together, apart, alone, alone_apart = interleaved(scale.rounds, *sides)
    return [
        figure("kv_durable.grouped_64", together, apart, "puts/s", "higher", note=note),
        figure("kv_durable.grouped_alone", alone, alone_apart, "puts/s", "higher", note=note),
    ]


def _per_core(ours: Ours, name: str, put: Callable[[], Awaitable[None]]) -> Figure:
    return figure(
        f"kv_durable.{name}_per_core",
        percentile(ours.per_core[put.__name__], 0.5),
        None,
        "puts per CPU second",
        "higher",
        target=40_000,
        note="process CPU time, flushing thread included",
    )


def watch_slow_disk(scale: Scale) -> Watched:
    """Readers and the loop, while 64 writers keep a record in flight."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder, opened(Path(folder)) as ours:
        fsync_s = fsync_seconds(Path(folder), 20)
        return ours.watch(scale, fsync_s)


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder:
        fast = fsync_seconds(Path(folder), 100) < FAST_S
    figures = on_disk(FAST_DISK_DELAY_MS if fast else 0, measure_puts, scale)
    watched = on_disk(SLOW_DISK_DELAY_MS, watch_slow_disk, scale)
    note = f"fsync p50 {watched.fsync_s * 1e3:.1f} ms, {watched.reads:,} reads"
    return [
        *figures,
        figure(
            "kv_durable.gated_read_p99",
            watched.read_p99_s * 1e3,
            watched.fsync_s * 1e3,
            "ms",
            "lower",
            target=0.5,
            note=f"beside one flush; {note}",
        ),
        figure("kv_durable.loop_lag_p99", watched.lag_p99_s * 1e3, None, "ms", "lower", target=5, note=note),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("Durable puts, next to a flush for each", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
