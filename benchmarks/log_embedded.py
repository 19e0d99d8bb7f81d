"""How fast is the embedded log? Durable appends of many producers, and reads in pages.

The rival is raw rocksdict on the same disk in the same run: for `append_64` and `append_alone` one put after the other,
each flushed by itself; for `append_batches` the same batches as one row an entry, the log flushed once a batch; for
`read_*` its iterator over one row an entry, keys and values taken and nothing decoded. A disk that flushes in less
than 150 µs is slowed down by a preloaded library, which needs a C compiler.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import uvloop
from rocksdict import Rdict, WriteBatch, WriteOptions

from benchmarks.kv_durable import FAST_DISK_DELAY_MS, FAST_S
from benchmarks.report import Figure, figure, interleaved, options, show
from benchmarks.slow_disk import fsync_seconds, on_disk
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.log.consumer import Consumer, ConsumerOptions
from soundstage.engines.log.port import Entry, TopicSpec
from soundstage.engines.log.rocksdb import RocksLog, RocksOptions, open_rocksdb_log
from soundstage.engines.rocks.settings import block_cache, open_options

PRODUCERS = 64
VALUE = bytes(range(100))
BATCH = 500
PAGE = 5_000

ALONE, TOGETHER, BATCHES, SINGLES = "bench/alone", "bench/together", "bench/batches", "bench/singles"


class Scale(msgspec.Struct, frozen=True):
    """Rounds, appends of each producer in one, batches in one, and entries that are there to be read."""

    rounds: int
    appends: int
    batches: int
    readable: int


FULL = Scale(rounds=9, appends=60, batches=40, readable=400_000)
QUICK = Scale(rounds=3, appends=20, batches=10, readable=100_000)


class Ours:
    """The log of a folder, durable by group commit."""

    def __init__(self, runner: asyncio.Runner, log: RocksLog, environment: SystemEnvironment) -> None:
        self._runner = runner
        self._log = log
        self._environment = environment
        self._entry = [Entry(VALUE)]
        self._group = 0

    def prepare(self, readable: int) -> None:
        """Topics, with so many entries to be read in one that was written in batches, a tenth in one that was not."""
        self._runner.run(self._prepare(readable))

    async def _prepare(self, readable: int) -> None:
        for name in (ALONE, TOGETHER, BATCHES, SINGLES):
            await self._log.create_topic(TopicSpec(name=name, partitions=1))
        for _ in range(readable // BATCH):
            await self._log.append(BATCHES, self._entry * BATCH)
        for _ in range(readable // 10 // 1_000):
            await asyncio.gather(*(self._log.append(SINGLES, self._entry) for _ in range(1_000)))

    def append(self, topic: str, producers: int, count: int) -> float:
        """Entries per second of `producers` that append `count` each, one at a time."""
        return self._runner.run(self._append(topic, producers, count))

    async def _append(self, topic: str, producers: int, count: int) -> float:
        async def produce() -> None:
            for _ in range(count):
                await self._log.append(topic, self._entry)

        began = time.perf_counter()
        await asyncio.gather(*(produce() for _ in range(producers)))
        return producers * count / (time.perf_counter() - began)

    def append_batches(self, count: int) -> float:
        """Entries per second, in batches, one after the other."""

        async def produce() -> None:
            for _ in range(count):
                await self._log.append(TOGETHER, self._entry * BATCH)

        began = time.perf_counter()
        self._runner.run(produce())
        return count * BATCH / (time.perf_counter() - began)

    def read(self, topic: str) -> float:
        """Entries per second, page by page to the end."""
        return self._runner.run(self._read(topic))

    async def _read(self, topic: str) -> float:
        seen = offset = 0
        began = time.perf_counter()
        while True:
            page = await self._log.read(topic, 0, offset, PAGE, 4 << 20)
            seen += len(page.entries)
            offset = page.next
            if offset == page.end:
                return seen / (time.perf_counter() - began)

    def consume(self) -> float:
        """Entries per second of a member of a group that commits every page."""
        return self._runner.run(self._consume())

    async def _consume(self) -> float:
        self._group += 1
        seen = 0
        began = time.perf_counter()
        chosen = ConsumerOptions(limit_entries=PAGE, limit_bytes=4 << 20)
        async with Consumer(self._log, f"bench/{self._group}", [BATCHES], self._environment, chosen) as consumer:
            while (batch := await consumer.poll()) is not None:
                seen += len(batch.entries)
                await consumer.commit()
        return seen / (time.perf_counter() - began)


class Bare:
    """One row an entry."""

    def __init__(self, folder: Path) -> None:
        self._db = Rdict(str(folder), open_options(RocksOptions(), block_cache(64 << 20)))
        self._sync = WriteOptions()
        self._sync.sync = True
        self._number = 0

    def _key(self) -> bytes:
        self._number += 1
        return self._number.to_bytes(16, "big")

    def puts(self, count: int) -> float:
        """Puts per second, a flush for each."""
        began = time.perf_counter()
        for _ in range(count):
            self._db.put(self._key(), VALUE, self._sync)
        return count / (time.perf_counter() - began)

    def batches(self, count: int) -> float:
        """Rows per second, a flush for each batch."""
        began = time.perf_counter()
        for _ in range(count):
            batch = WriteBatch(raw_mode=True)
            for _ in range(BATCH):
                batch.put(self._key(), VALUE)
            self._db.write(batch)
            self._db.flush_wal(True)
        return count * BATCH / (time.perf_counter() - began)

    def read(self) -> float:
        """Rows per second, from the first to the last."""
        found: list[tuple[bytes, bytes]] = []
        began = time.perf_counter()
        rows = self._db.iter()
        rows.seek_to_first()
        while rows.valid():
            found.append((rows.key(), rows.value()))
            rows.next()
        del rows
        return len(found) / (time.perf_counter() - began)

    def close(self) -> None:
        self._db.close()


@contextmanager
def opened(folder: Path) -> Generator[Ours]:
    """A log in `folder`."""
    environment = SystemEnvironment()
    log = open_rocksdb_log(str(folder), RocksOptions(), environment)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(log.start())
        try:
            yield Ours(runner, log, environment)
        finally:
            runner.run(log.stop())


def measure_here(scale: Scale) -> list[Figure]:
    """All figures, on the disk that this process has."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as name, opened(Path(name, "ours")) as ours:
        folder = Path(name)
        note = f"fsync p50 {fsync_seconds(folder, 100) * 1e6:,.0f} µs"
        bare, readable = Bare(folder / "bare"), Bare(folder / "readable")
        try:
            ours.prepare(scale.readable)
            readable.batches(scale.readable // BATCH)
            return [*_appends(scale, ours, bare, note), *_reads(scale, ours, readable)]
        finally:
            bare.close()
            readable.close()


def _appends(scale: Scale, ours: Ours, bare: Bare, note: str) -> list[Figure]:
    together, alone, puts, batches, rows = interleaved(
        scale.rounds,
        partial(ours.append, TOGETHER, PRODUCERS, scale.appends),
        partial(ours.append, ALONE, 1, scale.appends),
        partial(bare.puts, scale.appends),
        partial(ours.append_batches, scale.batches),
        partial(bare.batches, scale.batches),
    )
    return [
        figure("log_embedded.append_64", together, puts, "entries/s", "higher", target=10, note=note),
        figure("log_embedded.append_alone", alone, puts, "entries/s", "higher", note=note),
        figure("log_embedded.append_batches", batches, rows, "entries/s", "higher", note=f"of {BATCH}; {note}"),
    ]


def _reads(scale: Scale, ours: Ours, readable: Bare) -> list[Figure]:
    batches, singles, consumed, rows = interleaved(
        scale.rounds, partial(ours.read, BATCHES), partial(ours.read, SINGLES), ours.consume, readable.read
    )
    note = f"pages of {PAGE:,}, 100 bytes"
    return [
        figure("log_embedded.read", batches, None, "entries/s", "higher", target=500_000, note=note),
        figure("log_embedded.read_beside", batches, rows, "entries/s", "higher", note="a bare iterator, undecoded"),
        figure("log_embedded.read_singles", singles, rows, "entries/s", "higher", note="appended one by one"),
        figure("log_embedded.consume", consumed, rows, "entries/s", "higher", note="a commit for every page"),
    ]


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder:
        fast = fsync_seconds(Path(folder), 100) < FAST_S
    return on_disk(FAST_DISK_DELAY_MS if fast else 0, measure_here, scale)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("The embedded log, next to bare rocksdict", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
