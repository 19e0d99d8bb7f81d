"""Do deletes stay cheap? A record that is trimmed for ever, and the death of a large one.

The rival of the first is the same trimming when the record is new; of the last, the same delete of one item.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import uvloop

from benchmarks.report import Figure, figure, options, percentile, show
from soundstage.data.kv import KeyValue, MatchAll, MatchRange, Predicate, PutItem
from soundstage.runtime.stage import Stage

MIB = 1 << 20
KEPT = 100
VALUE = bytes(200)
LOADED_AT_ONCE = 2_000
SMALL = 50
"""Records of one item that die around a large one."""

EVERYTHING = Predicate(match_all=MatchAll())


class Scale(msgspec.Struct, frozen=True):
    """How much is done. `trimmed` writes are each followed by a range delete; `killed` is the size of a record."""

    trimmed: int
    killed: int
    rounds: int


FULL = Scale(trimmed=100_000, killed=1_000_000, rounds=9)
QUICK = Scale(trimmed=20_000, killed=100_000, rounds=9)


class Trimmed(msgspec.Struct, frozen=True):
    """Keep-newest-100: the p99 of a write, its delete and a read, in the first and in the last tenth of them all."""

    first_p99_s: float
    last_p99_s: float
    disk_bytes: int
    live_bytes: int


class Killed(msgspec.Struct, frozen=True):
    """A record delete, and the first page after it, in seconds."""

    delete_s: float
    page_s: float


class Subject:
    """The key-value store of a stage in this process."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._kv = stage.client(KeyValue, "bench")
        self._folder = folder

    async def trim(self, count: int) -> Trimmed:
        """`count` writes to a record, of which the newest 100 are kept by range deletes and read now and then."""
        took: list[float] = []
        for number in range(count):
            began = time.perf_counter()
            await self._kv.put_items(id="feed", items=[PutItem(key=_key(number), value=VALUE)])
            if number >= KEPT:
                trimmed = MatchRange(end=_key(number - KEPT + 1))
                await self._kv.delete_items(id="feed", predicate=Predicate(match_range=trimmed))
            if number % KEPT == 0:
                await self._kv.get_items(id="feed")
            took.append(time.perf_counter() - began)
        page = await self._kv.get_items(id="feed")
        if len(page.items) != min(KEPT, count):
            raise RuntimeError(f"{len(page.items)} items were kept, not {KEPT}")
        tenth = max(1, count // 10)
        return Trimmed(
            percentile(took[:tenth], 0.99),
            percentile(took[-tenth:], 0.99),
            sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file()),
            KEPT * (len(VALUE) + len(_key(0))),
        )

    async def grow(self, id: str, items: int) -> None:
        """The record has `items` items more."""
        for start in range(0, items, LOADED_AT_ONCE):
            some = range(start, min(items, start + LOADED_AT_ONCE))
            await self._kv.put_items(id=id, items=[PutItem(key=_key(number), value=VALUE[:20]) for number in some])

    async def kill(self, id: str) -> Killed:
        """The record was deleted and read."""
        began = time.perf_counter()
        await self._kv.delete_items(id=id, predicate=EVERYTHING)
        deleted = time.perf_counter()
        page = await self._kv.get_items(id=id)
        read = time.perf_counter()
        if page.items or page.next_page_token is not None:
            raise RuntimeError("the record is there after it was deleted")
        return Killed(deleted - began, read - deleted)


def _key(number: int) -> bytes:
    return b"item-%010d" % number


@contextmanager
def opened(runner: asyncio.Runner) -> Generator[Subject]:
    """A stage with durability `os`, so that the program is measured and not the disk."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder:
        config = {
            "data": folder,
            "engines": {"default": {"url": "rocksdb:ours", "durability": "os"}},
            "namespaces": {"bench": {"abstraction": "kv"}},
        }
        stage = Stage.open(config=config, variables={})
        runner.run(stage.start())
        try:
            yield Subject(stage, Path(folder))
        finally:
            runner.run(stage.stop())


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        with opened(runner) as subject:
            trimmed = runner.run(subject.trim(scale.trimmed))
        with opened(runner) as subject:
            small, large = runner.run(kill_in_turns(subject, scale))
    return [*_of_trimming(scale, trimmed), *_of_killing(scale, small, large)]


async def kill_in_turns(subject: Subject, scale: Scale) -> tuple[list[Killed], list[Killed]]:
    """Small records and large ones, each large one amid small ones, so that both find the machine alike."""
    small: list[Killed] = []
    large: list[Killed] = []
    for number in range(scale.rounds):
        await subject.grow(f"large-{number}", scale.killed)
        for each in range(SMALL):
            await subject.grow(f"small-{number}-{each}", 1)
        for each in range(SMALL):
            small.append(await subject.kill(f"small-{number}-{each}"))
            if each == SMALL // 2:
                large.append(await subject.kill(f"large-{number}"))
    return small, large


def _of_trimming(scale: Scale, found: Trimmed) -> list[Figure]:
    first, last = found.first_p99_s * 1e6, found.last_p99_s * 1e6
    note = f"{scale.trimmed:,} writes, newest {KEPT} kept; p99 of the last tenth next to the first"
    return [
        figure("kv_deletes.trim_p99", last, first, "µs", "lower", target=0.67, note=note),
        figure(
            "kv_deletes.trim_disk",
            found.disk_bytes / MIB,
            None,
            "MiB",
            "lower",
            target=256,
            note=f"of which {found.live_bytes / 1_000:.0f} kB are live; four write buffers of log are kept",
        ),
    ]


def _of_killing(scale: Scale, small: Sequence[Killed], large: Sequence[Killed]) -> list[Figure]:
    page = max(each.page_s for each in large) * 1e3
    many = percentile([each.delete_s for each in large], 0.5) * 1e6
    one = percentile([each.delete_s for each in small], 0.5) * 1e6
    note = f"the delete of {scale.killed:,} items next to that of one"
    return [
        figure("kv_deletes.first_page", page, None, "ms", "lower", target=5, note=f"after {scale.killed:,} items died"),
        figure("kv_deletes.record_delete", many, one, "µs", "lower", target=0.5, note=note),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("Deletes", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
