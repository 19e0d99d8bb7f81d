"""Do jobs stay listable with 10⁶ of them in the history? Pages, filters, the queue, memory, and forgetting them.

The rival of each page is the same page of a history of a thousand jobs.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import uvloop

from benchmarks.programs import resident_bytes
from benchmarks.report import Figure, figure, options, percentile, show
from soundstage.core import version
from soundstage.core.call import LOCAL
from soundstage.core.codec import msgpack_encode
from soundstage.core.environment import SystemEnvironment
from soundstage.core.hlc import TokenClock
from soundstage.core.ids import uuid7
from soundstage.core.job import JobInfo, JobState
from soundstage.core.time import Instant
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.records.port import Batch
from soundstage.engines.records.rocksdb import RocksOptions, RocksRecords, open_rocksdb
from soundstage.runtime.config import FilesConfig, JobsConfig
from soundstage.runtime.files import Files
from soundstage.runtime.leases import Leases
from soundstage.runtime.system_table import SystemTable
from soundstage.runtime.work.control import JobControl
from soundstage.runtime.work.outputs import JobFiles
from soundstage.runtime.work.places import Places
from soundstage.runtime.work.store import MARKERS_KEPT_US, JobStore, Stored, day_of

AT_ONCE = 64
LOADED_AT_ONCE = 1_000
FEW = 1_000
PAGE = 100
TURNS = 21
SWEPT_AT_ONCE = 500
HOUR_US = 3_600_000_000
DAY_US = 86_400_000_000


class Scale(msgspec.Struct, frozen=True):
    """How many jobs have ended: `lived` are started and end one by one, `jobs` are there in all.

    Of the rows of expired jobs `swept` are removed while the sweeper is timed.
    """

    lived: int
    jobs: int
    swept: int


FULL = Scale(lived=10_000, jobs=1_000_000, swept=200_000)
QUICK = Scale(lived=2_000, jobs=30_000, swept=30_000)


class Ahead(SystemEnvironment):
    """The machine's clocks, and so much more."""

    ahead_us: int = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_us * 1_000

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_us * 1_000


class History:
    """The jobs of a stage, in a folder of their own; durability `os`, so that the program is measured."""

    def __init__(self, folder: Path) -> None:
        self.environment = Ahead()
        self.engine: RocksRecords = open_rocksdb(str(folder), RocksOptions(durability="os"), self.environment)
        self.table = SystemTable(self.engine, "jobs", TokenClock(self.environment), self.environment)
        self.config = JobsConfig()
        self.ids: list[str] = []
        self.reopen()

    async def start(self) -> None:
        await self.engine.start()
        await self.table.create(MARKERS_KEPT_US)

    def reopen(self) -> None:
        """Nothing is known of the queue, as in a process that has just been started."""
        self.store = JobStore(self.table, self.environment, self.config.history_ttl // 1_000)
        files = Files(MemoryBlobs(self.environment), FilesConfig(), self.environment)
        places = Places(self.table, self.store, self.config, self.environment)
        kept, leases = JobFiles(files, DAY_US), Leases(self.table, self.environment, "benchmark")
        self.control = JobControl(self.store, places, leases, self.config, kept, self.environment)

    async def fill(self, count: int) -> float:
        """So many more jobs were started and have ended; returns the seconds that it took."""
        left = iter(range(count))

        async def start_some() -> None:
            for number in left:
                await self.live(number)

        began = time.perf_counter()
        await asyncio.gather(*(start_some() for _ in range(AT_ONCE)))
        self.ids.sort()
        return time.perf_counter() - began

    async def live(self, number: int) -> None:
        """One job was started and has ended."""
        stored = self._job("queued")
        found = await self.store.add(stored, self.config.queued)
        if found is None:
            raise RuntimeError("the queue is full")
        ended = msgspec.structs.replace(stored.info, state=_state(number))
        await self.store.put(found, msgspec.structs.replace(stored, info=ended), result=b"result")
        self.ids.append(stored.info.job_id)

    async def load(self, count: int) -> None:
        """So many more jobs have ended: all the rows that are left of them are written, in few calls."""
        for at in range(0, count, LOADED_AT_ONCE):
            jobs = [self._job(_state(number)) for number in range(at, min(count, at + LOADED_AT_ONCE))]
            now_us, ids = self.environment.now_us(), [job.info.job_id for job in jobs]
            lasting_us = now_us + self.config.history_ttl // 1_000
            for job in jobs:
                rows = {"job": msgpack_encode(job), "result": b"result"}
                cells = [(key.encode(), version.put(now_us, "t", value, lasting_us)) for key, value in rows.items()]
                await self.engine.apply(self.table.name, f"job/{job.info.job_id}".encode(), Batch(cells=cells))
            listed = [(job_id.encode(), version.put(now_us, "t", b"", lasting_us + DAY_US)) for job_id in ids]
            await self.engine.apply(self.table.name, f"day/{day_of(ids[0])}".encode(), Batch(cells=listed))
            gone = [(job_id.encode(), version.delete(now_us, "t")) for job_id in ids]
            await self.engine.apply(self.table.name, b"open", Batch(cells=gone))
            self.ids += ids
        self.ids.sort()

    def _job(self, state: JobState) -> Stored:
        info = JobInfo(
            job_id=uuid7(self.environment),
            system="namespaces",
            operation="export",
            state=state,
            created_at=Instant(self.environment.now_us() * 1_000),
            created_by="ada",
            namespaces=["profiles"],
        )
        return Stored(info=info, request=b"request", access="read", restart="resume", owner="id of ada")

    async def page(self, state: JobState | None = None, before: str | None = None) -> None:
        """One page of a list."""
        await self.control.listed(LOCAL, state, None, before, PAGE)

    async def sweep(self, rows: int) -> float:
        """Removed rows per second, once everything has expired."""
        self.environment.ahead_us = self.config.history_ttl // 1_000 + 3 * DAY_US
        began, done = time.perf_counter(), 0
        while done < rows:
            swept = await self.engine.sweep(SWEPT_AT_ONCE)
            done += swept.purged
            if not swept.purged and not swept.backlog:
                break
        return done / (time.perf_counter() - began)


def _state(number: int) -> JobState:
    """One in a hundred failed, one in ten thousand was cancelled."""
    return "cancelled" if number % 10_000 == 0 else "failed" if number % 100 == 0 else "succeeded"


async def median_ms(ask: Callable[[], Awaitable[object]]) -> float:
    """How long `ask` takes, in the median of some turns."""
    took: list[float] = []
    for _ in range(TURNS):
        began = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - began) * 1e3)
    return percentile(took, 0.5)


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measured(scale))


async def _measured(scale: Scale) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder:
        many, few = History(Path(folder, "many")), History(Path(folder, "few"))
        await few.start()
        await few.fill(FEW)
        before = resident_bytes(os.getpid())
        await many.start()
        took_s = await many.fill(scale.lived)
        await many.load(scale.jobs - scale.lived)
        for history in (many, few):
            # Jobs of the last minute are a few on any machine; here all of them were.
            history.environment.ahead_us = HOUR_US
        held = (resident_bytes(os.getpid()) - before) / (1 << 20)
        figures = [
            figure("jobs_history.jobs", scale.lived / took_s, None, "jobs/s", "higher", note="started and ended"),
            figure(
                "jobs_history.memory", held, None, "MiB", "lower", note=f"more for {scale.jobs:,} jobs; ids included"
            ),
            *await _pages(many, few),
            *await _queue(many, few),
        ]
        swept = await many.sweep(scale.swept)
        figures.append(
            figure("jobs_history.forgotten", swept, None, "rows/s", "higher", target=20_000, note="of expired jobs")
        )
        for each in (many, few):
            await each.engine.stop()
    return figures


async def _pages(many: History, few: History) -> list[Figure]:
    asked: dict[str, Callable[[History], Awaitable[None]]] = {
        "first_page": lambda history: history.page(),
        "deep_page": lambda history: history.page(before=history.ids[len(history.ids) // 10]),
        "failed": lambda history: history.page("failed"),
        "cancelled": lambda history: history.page("cancelled"),
        "running": lambda history: history.page("running"),
    }
    figures: list[Figure] = []
    for name, ask in asked.items():
        ours, rival = [await median_ms(lambda ask=ask, history=history: ask(history)) for history in (many, few)]
        figures.append(figure(f"jobs_history.{name}", ours, rival, "ms", "lower", target=0.5))
    return figures


async def _queue(many: History, few: History) -> list[Figure]:
    whole: list[float] = []
    for history in (many, few):
        history.reopen()
        began = time.perf_counter()
        await history.store.open()
        whole.append((time.perf_counter() - began) * 1e3)
    again = [await median_ms(history.store.open) for history in (many, few)]
    return [
        figure("jobs_history.queue_at_start", whole[0], whole[1], "ms", "lower", note="past all that has left it"),
        figure("jobs_history.queue", again[0], again[1], "ms", "lower", note="past what left it in a minute"),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("The history of jobs", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
