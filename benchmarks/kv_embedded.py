"""What do all the rules cost, next to the bare database? Gets and batch puts in process against raw rocksdict.

Both sides have the same options and take the same ids, keys and values; each makes its own row keys. Rates are
per second of CPU time of the calling thread, which other processes disturb least.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
import uvloop
from rocksdict import Rdict, WriteBatch

from benchmarks.report import Figure, figure, interleaved, options, show
from soundstage.data.kv import KeyValue, MatchKeys, Predicate, PutItem
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import block_cache, open_options
from soundstage.runtime.stage import Stage

MIB = 1 << 20
ITEMS = 100
"""Items of a record, and of a batch."""

SETTLE_MAX_S = 300.0
_COMPACTING = ("rocksdb.compaction-pending", "rocksdb.num-running-compactions", "rocksdb.num-running-flushes")

Address: TypeAlias = tuple[str, bytes]
Record: TypeAlias = tuple[str, list[tuple[bytes, bytes]]]


class Scale(msgspec.Struct, frozen=True):
    """How much is done. `cache` is in bytes; `gets` and `batches` are those of one round."""

    cache: int
    rounds: int
    gets: int
    batches: int


FULL = Scale(cache=256 * MIB, rounds=21, gets=20_000, batches=200)
QUICK = Scale(cache=32 * MIB, rounds=7, gets=10_000, batches=100)


class Source:
    """Ids, keys and values from a seed; half of each value can be compressed."""

    def __init__(self, value_bytes: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        half = value_bytes // 2
        self._pool = [self.random.randbytes(half).ljust(value_bytes, b"-") for _ in range(997)]
        self._keys = [b"item-%06d" % number for number in range(ITEMS)]

    def record(self, number: int) -> Record:
        pick = self.random.randrange(997)
        return f"record-{number:08d}", [(key, self._pool[(pick + at) % 997]) for at, key in enumerate(self._keys)]

    def addresses(self, count: int, records: int) -> list[Address]:
        return [(f"record-{self.random.randrange(records):08d}", self.random.choice(self._keys)) for _ in range(count)]


class Bare:
    """The database by itself: one row per item, the last writer wins."""

    def __init__(self, folder: Path, cache: int) -> None:
        self.db = Rdict(str(folder), open_options(RocksOptions(durability="os"), block_cache(cache)))

    def get(self, addresses: Sequence[Address]) -> float:
        get = self.db.get
        began = time.thread_time()
        for id, key in addresses:
            get(id.encode() + b"/" + key)
        return len(addresses) / (time.thread_time() - began)

    def put(self, records: Sequence[Record]) -> float:
        began = time.thread_time()
        for id, items in records:
            prefix = id.encode() + b"/"
            batch = WriteBatch(raw_mode=True)
            for key, value in items:
                batch.put(prefix + key, value)
            self.db.write(batch)
        return len(records) / (time.thread_time() - began)


class Ours:
    """The key-value store of a stage in this process."""

    def __init__(self, runner: asyncio.Runner, stage: Stage) -> None:
        self.db: Rdict = stage.engines["default"].database.rdict  # type: ignore[attr-defined]
        self._run = runner.run
        self._kv = stage.client(KeyValue, "bench")

    def get(self, addresses: Sequence[Address]) -> float:
        return self._run(self._get(addresses))

    async def _get(self, addresses: Sequence[Address]) -> float:
        kv = self._kv
        began = time.thread_time()
        for id, key in addresses:
            await kv.get_items(id=id, predicate=Predicate(match_keys=MatchKeys(keys=[key])))
        return len(addresses) / (time.thread_time() - began)

    def put(self, records: Sequence[Record]) -> float:
        return self._run(self._put(records))

    async def _put(self, records: Sequence[Record]) -> float:
        kv = self._kv
        began = time.thread_time()
        for id, items in records:
            await kv.put_items(id=id, items=[PutItem(key=key, value=value) for key, value in items])
        return len(records) / (time.thread_time() - began)


class Pair:
    """Both sides, holding the same records."""

    def __init__(self, ours: Ours, bare: Bare, source: Source) -> None:
        self.ours, self.bare, self.source = ours, bare, source
        self.records = 0

    def load(self, records: int) -> None:
        """`records` more are there, and at rest: flushed and compacted."""
        for start in range(self.records, self.records + records, 100):
            some = [self.source.record(number) for number in range(start, min(start + 100, self.records + records))]
            self.bare.put(some)
            self.ours.put(some)
        self.records += records
        for db in (self.bare.db, self.ours.db):
            db.flush()
            _wait_until_settled(db)

    def gets(self, scale: Scale) -> tuple[float, float]:
        """Gets per second, ours and the bare database's, of items drawn from all."""

        def addresses() -> list[Address]:
            return self.source.addresses(scale.gets, self.records)

        return _medians(scale, lambda: self.ours.get(addresses()), lambda: self.bare.get(addresses()))

    def new(self, scale: Scale) -> tuple[float, float]:
        """Batches per second of records that are not there."""
        following = {id(self.ours): self.records, id(self.bare): self.records}

        def records(side: Ours | Bare) -> list[Record]:
            start = following[id(side)]
            following[id(side)] += scale.batches
            return [self.source.record(number) for number in range(start, start + scale.batches)]

        found = _medians(scale, lambda: self.ours.put(records(self.ours)), lambda: self.bare.put(records(self.bare)))
        self.records = following[id(self.ours)]
        return found

    def existing(self, scale: Scale) -> tuple[float, float]:
        """Batches per second of records that are there, all their items replaced."""

        def records() -> list[Record]:
            draw = self.source.random.randrange
            return [self.source.record(draw(self.records)) for _ in range(scale.batches)]

        return _medians(scale, lambda: self.ours.put(records()), lambda: self.bare.put(records()))


def _medians(scale: Scale, ours: Callable[[], float], bare: Callable[[], float]) -> tuple[float, float]:
    for warm in (ours, bare):
        warm()
    first, second = interleaved(scale.rounds, ours, bare)
    return first, second


def _wait_until_settled(db: Rdict) -> None:
    until = time.monotonic() + SETTLE_MAX_S
    while any(db.property_int_value(name) for name in _COMPACTING) and time.monotonic() < until:
        time.sleep(0.05)


@contextmanager
def opened(scale: Scale, value_bytes: int) -> Generator[Pair]:
    """Both sides, empty, in a folder that is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        config = {
            "data": folder,
            "engines": {"default": {"url": "rocksdb:ours", "durability": "os", "cache": scale.cache}},
            "namespaces": {"bench": {"abstraction": "kv"}},
        }
        stage = Stage.open(config=config, variables={})
        runner.run(stage.start())
        bare = Bare(Path(folder, "bare"), scale.cache)
        try:
            yield Pair(Ours(runner, stage), bare, Source(value_bytes))
        finally:
            bare.db.close()
            runner.run(stage.stop())


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    figures: list[Figure] = []
    for value_bytes, size, targets in ((1_000, "", (0.5, 0.4)), (100, "_100B", (None, None))):
        with opened(scale, value_bytes) as pair:
            fill = scale.cache // 10 // (value_bytes + 30) // ITEMS
            pair.load(max(1, fill))
            note = f"{value_bytes} B values, {pair.records * ITEMS:,} items"
            get, put = targets
            figures += [
                figure(f"kv_embedded.get_10pct{size}", *pair.gets(scale), "gets/s", "higher", target=get, note=note),
                figure(
                    f"kv_embedded.put_existing{size}",
                    *pair.existing(scale),
                    "batches/s",
                    "higher",
                    target=put,
                    note=note,
                ),
                figure(f"kv_embedded.put_new{size}", *pair.new(scale), "batches/s", "higher", target=put, note=note),
            ]
    with opened(scale, 1_000) as pair:
        pair.load(scale.cache * 10 // 1_030 // ITEMS)
        note = f"1000 B values, {pair.records * ITEMS:,} items"
        figures.insert(
            1, figure("kv_embedded.get_1000pct", *pair.gets(scale), "gets/s", "higher", target=0.7, note=note)
        )
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("In process, next to raw rocksdict", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
