"""What do further processes cost, and what do they bring? The engine `host:` beside the same engine in this process,
and two HTTP workers beside one.

Needs `apt-get install wrk`. On a machine with few cores the load generator, the workers and the process that has the
engine take turns, so that rates by the wall clock say little of workers. `http_workers` therefore counts the
processor's time of every process: the busiest one is what limits a machine with enough cores.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import uvloop

from benchmarks.kv_http import SCRIPT, Load, Ours
from benchmarks.kv_http import Scale as HttpScale
from benchmarks.programs import cpu_seconds, need, output_of
from benchmarks.report import Figure, figure, interleaved, options, show
from soundstage.core import version
from soundstage.core.codec import JSON
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.host import HostEngine
from soundstage.engines.records.port import Batch, Records, TableSpec
from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb
from soundstage.testing.crash.process import StageProcess

PROGRAMS = {"wrk": "wrk"}
TABLE = "bench/items"
PARTITIONS = 1_000
VALUE_BYTES = 100
MANY = 256
"""Callers at once."""

CONNECTIONS = 256
"""So many that the kernel's lot gives two workers about the same number of them."""

BATCH_ROWS = 100
SHARED = {"SOUNDSTAGE_PROCESSES__SHARED": "true"}
DURABILITY_OS = '[engines.default]\nurl = "rocksdb:records"\ndurability = "os"\n'


class Scale(msgspec.Struct, frozen=True):
    """How much is done in a round: gets by many callers, gets by one, batches; seconds of HTTP."""

    rounds: int
    gets: int
    gets_alone: int
    batches: int
    seconds: int
    records: int = 1_000


FULL = Scale(rounds=9, gets=100_000, gets_alone=5_000, batches=2_000, seconds=4)
QUICK = Scale(rounds=3, gets=50_000, gets_alone=2_000, batches=1_000, seconds=2)


class Side:
    """An engine and the work that it is given."""

    def __init__(self, engine: Records, scale: Scale) -> None:
        self._engine = engine
        self._scale = scale
        self._now_us = SystemEnvironment().now_us()
        self._cell = version.put(self._now_us, "token", bytes(VALUE_BYTES))
        self._turn = 0

    async def prepare(self) -> None:
        """The table is there, and filled."""
        await self._engine.create_table(TableSpec(name=TABLE))
        for number in range(PARTITIONS):
            await self._engine.apply(TABLE, b"p%d" % number, Batch(cells=[(b"k", self._cell)]))

    async def gets(self, callers: int) -> float:
        """Gets per second."""
        count = self._scale.gets_alone if callers == 1 else self._scale.gets

        async def lane() -> None:
            for number in range(count // callers):
                await self._engine.get(TABLE, b"p%d" % (number % PARTITIONS), (b"k",), self._now_us)

        return await _rate(lane, callers, count // callers)

    async def puts(self) -> float:
        """Rows per second, in batches."""
        callers, each = 8, self._scale.batches // 8
        self._turn += 1
        cells = [(b"%05d" % number, self._cell) for number in range(BATCH_ROWS)]

        async def lane() -> None:
            for number in range(each):
                await self._engine.apply(TABLE, b"b%d" % (number % PARTITIONS), Batch(cells=cells))

        return await _rate(lane, callers, each * BATCH_ROWS)


async def _rate(lane: Callable[[], Awaitable[None]], callers: int, each: int) -> float:
    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(callers)))
    return callers * each / (time.perf_counter() - began)


def measure_host(scale: Scale, folder: Path) -> list[Figure]:
    """The engine of another process beside one of this, both on RocksDB with the durability `os`."""
    folder.mkdir()
    (folder / "stage.toml").write_text(DURABILITY_OS)
    with (
        StageProcess(folder / "data", stage_file=folder / "stage.toml", variables=SHARED) as owner,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        environment = SystemEnvironment()
        there: Any = HostEngine(folder / "data" / "HOST", "records", "default", environment)
        here = open_rocksdb(str(folder / "here"), RocksOptions(durability="os"), environment)
        ours, theirs = Side(there, scale), Side(here, scale)
        runner.run(_prepared(there, here, ours, theirs))
        sides = [
            partial(_run, runner, partial(work, side))
            for work in (partial(Side.gets, callers=MANY), partial(Side.gets, callers=1), Side.puts)
            for side in (ours, theirs)
        ]
        sides += [partial(_by_cpu, side, owner.pid, scale.gets) for side in sides[:2]]
        many, many_here, alone, alone_here, puts, puts_here, busiest, here_cpu = interleaved(scale.rounds, *sides)
        runner.run(_stopped(there, here))
    return [
        figure("processes.host_get", many, many_here, "gets/s", "higher", target=0.3, note=f"{MANY} callers; direct"),
        figure(
            *("processes.host_get_cpu", busiest, here_cpu, "gets/s", "higher"),
            note=f"{MANY} callers, by the CPU of the busier process; direct",
        ),
        figure("processes.host_get_alone", alone, alone_here, "gets/s", "higher", note="one caller; direct"),
        figure(
            *("processes.host_put", puts, puts_here, "rows/s", "higher"),
            target=0.3,
            note=f"batches of {BATCH_ROWS}, 8 callers, durability os; direct",
        ),
    ]


def _run(runner: asyncio.Runner, work: Callable[[], Coroutine[Any, Any, float]]) -> float:
    return runner.run(work())


def _by_cpu(work: Callable[[], float], other: int, count: int) -> float:
    """What the busier of this process and `other` allows per second of its own time, of work done `count` times."""
    ours, theirs = time.process_time(), cpu_seconds(other)
    work()
    return count / max(time.process_time() - ours, cpu_seconds(other) - theirs)


async def _prepared(there: Any, here: Records, *sides: Side) -> None:
    await there.start()
    await here.start()
    for side in sides:
        await side.prepare()


async def _stopped(*engines: Any) -> None:
    for engine in engines:
        await engine.stop()


class Served:
    """A stage with some HTTP workers. `per_s` is what its busiest process allows, of every run."""

    def __init__(self, server: StageProcess, bodies: Path) -> None:
        self._server = server
        self._bodies = bodies
        self.per_s: list[float] = []
        self.load_us: list[float] = []

    def rate(self, seconds: int) -> float:
        """Calls per second by the wall clock."""
        pids = [self._server.pid, *_children(self._server.pid)]
        before, load_before = [cpu_seconds(pid) for pid in pids], _children_cpu()
        url = f"{self._server.url}/v1/kv/get_items"
        arguments = ("-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(SCRIPT), url, "--", str(self._bodies), JSON)
        load = msgspec.json.decode(output_of("wrk", *arguments).splitlines()[-1], type=Load)
        if load.refused or load.broken:
            raise RuntimeError(f"{load.refused} calls were refused and {load.broken} broke: {self._server.errors()}")
        used = [cpu_seconds(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
        self.per_s.append(load.requests / max(used))
        self.load_us.append((_children_cpu() - load_before) / load.requests * 1e6)
        return load.requests / load.seconds


@contextmanager
def served(folder: Path, workers: int, scale: Scale) -> Generator[Served]:
    """A stage with so many HTTP workers (0: all in one process), filled."""
    folder.mkdir()
    variables = {"SOUNDSTAGE_PROCESSES__WORKERS": f"{{http = {workers}}}"} if workers else {}
    with StageProcess(folder / "data", variables=variables) as server:
        ours = Ours(server, folder, HttpScale(rounds=scale.rounds, seconds=scale.seconds, records=scale.records))
        asyncio.run(ours.prepare())
        yield Served(server, ours.bodies("get", JSON))


def measure_workers(scale: Scale, folder: Path) -> list[Figure]:
    """Gets over HTTP by none, one and two workers."""
    folder.mkdir()
    with (
        served(folder / "none", 0, scale) as none,
        served(folder / "one", 1, scale) as one,
        served(folder / "two", 2, scale) as two,
    ):
        every = (none, one, two)
        for side in every:
            side.rate(1)
            side.per_s.clear()
            side.load_us.clear()
        wall = interleaved(scale.rounds, *(partial(side.rate, scale.seconds) for side in every))
    alone, single, double = (median(side.per_s) for side in every)
    load = f"load generator {median(two.load_us):.1f} µs of CPU per call"
    busiest = "by the CPU of the busiest process"
    return [
        figure(
            *("processes.http_workers", double, single, "calls/s", "higher"),
            target=1.6,
            note=f"2 workers; 1 worker; {busiest}; {load}",
        ),
        figure(
            *("processes.http_workers_or_none", double, alone, "calls/s", "higher"),
            note=f"2 workers; all in one process; {busiest}",
        ),
        figure(
            *("processes.http_workers_wall", wall[2], wall[1], "calls/s", "higher"),
            note=f"2 workers; 1 worker; wall clock; none: {wall[0]:,.0f}",
        ),
    ]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder:
        return [*measure_host(scale, Path(folder, "host")), *measure_workers(scale, Path(folder, "workers"))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    need(PROGRAMS)
    show("Several processes", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
