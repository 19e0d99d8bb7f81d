"""Rewrites the slices of a namespace into segments, step by step, each of which may be the last for a while.

    seal      the slice's table is written to no more; what comes late goes into another
    build     a run is noted, and made of the sealed tables and of the segments there were
    verify    the files are read back: rows, bytes and checksum are those of what went in
    flip      the slice's events lie in the run from here on; all at once, and only if nothing else changed
    clear     once no reader can be under way, the tables and the segments of before are gone

Every step is written down in the slice's row before or after it is done, so that another process, or this one after a
crash, goes on there: a run that was begun is made anew, and what it left is cleared. Of two who work on one slice only
one can flip it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing
from math import inf

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss, NotFound, SoundstageError
from soundstage.core.ids import uuid4_hex
from soundstage.core.time import NS_PER_S, Duration
from soundstage.data.parquet.library import parquet
from soundstage.data.timeseries.compaction.pacing import Pacing
from soundstage.data.timeseries.compaction.sorting import Merged, Sorting, Source, groups
from soundstage.data.timeseries.config import Compaction
from soundstage.data.timeseries.feed import digest_of
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.segments.columns import (
    GROUP_BYTES,
    GROUP_ROWS,
    Sorted,
    Sum,
    sum_of,
)
from soundstage.data.timeseries.segments.reading import Segments
from soundstage.data.timeseries.segments.walking import series_rows
from soundstage.data.timeseries.segments.writing import About, Pace, SegmentFile, Written, write_run
from soundstage.data.timeseries.slices import Compacted, Left, Moved, Slice
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.records.port import Budget
from soundstage.runtime.compute import Compute
from soundstage.runtime.leases import LeaseLost

log: logging.Logger = logging.getLogger("soundstage.timeseries")

PREFIX = "timeseries/"
"""What the keys of all segments begin with."""

US = 1_000_000

SETTLED_US = 120 * US
"""After a table was sealed: a write that was under way has ended, and every process knows."""

TABLE_KEPT_US = 900 * US
RUN_KEPT_US = 3_600 * US
"""After a flip: no reader is under way any more. Of files it is longer, as a backup copies them after the records."""

AGAIN_NS = 600 * NS_PER_S
"""After which a slice that could not be rewritten is tried again."""

SKEW_NS = 120 * NS_PER_S
"""By how much clocks of processes, with a write under way, may differ from what a slice's end says."""

WALK = Budget(rows=4_000, bytes=1 << 20)


class Progress:
    """What was done for a namespace since the start of the process."""

    __slots__ = ("again_ns", "bytes_in", "bytes_out", "failed", "sealed", "slices", "swept_ns", "waiting")

    def __init__(self) -> None:
        self.slices: int = 0
        self.failed: int = 0
        self.bytes_in: int = 0
        self.bytes_out: int = 0
        self.waiting: int = 0
        self.swept_ns: int | None = None
        """When it was last looked for what no slice names, by the clock that only goes on."""
        self.again_ns: dict[int, int] = {}
        """When slices that could not be rewritten are tried again, by the clock that only goes on."""
        self.sealed: dict[int, tuple[int, int]] = {}
        """Of sealed slices when that was, and since when it is known here, by the clock that only goes on."""


def due_ns(served: ServedNamespace, knobs: Compaction, found: Slice) -> float:
    """When a slice is to be rewritten, in nanoseconds of the clock; infinity: it lies in segments, and nowhere else."""
    moved = found.moved
    if moved.sealed:
        return moved.sealed_us * 1_000
    if not found.made or found.endless:
        return inf
    accept_ns, kept = served.lifetime
    # Where events of any age are accepted there is no end to wait for: what comes late is merged.
    since_ns = found.end + SKEW_NS + (0 if accept_ns is None or accept_ns == kept.close_ns else accept_ns)
    if moved.compacted is not None:
        since_ns = max(since_ns, moved.compacted.at_us * 1_000)
    return since_ns + knobs.after


class Compactor:
    """Works on the slices of one namespace, one after the other. `reached` is told of each step, for tests."""

    def __init__(
        self,
        served: ServedNamespace,
        progress: Progress,
        compute: Compute,
        environment: Environment,
        pacing: Pacing,
        check: Callable[[], None],
        reached: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._served = served
        self._segments: Segments = served.segments
        self._progress = progress
        self._compute = compute
        self._environment = environment
        self._pacing = pacing
        self._check = check
        self._reached = reached

    async def round(self, knobs: Compaction | None, asked_us: int) -> bool:
        """What is due of one slice was done, and what is left of others cleared; whether more is due at once.

        Slices that may be rewritten by `asked_us` are due without `after`. Without `knobs` it only clears.
        """
        await self.clear_left()
        if knobs is None:
            self._progress.waiting = 0
            return False
        due = self._due(knobs, asked_us)
        self._progress.waiting = len(due)
        for found in due:
            if not found.moved.sealed:
                await self._seal(found)
                return len(due) > 1
            if self._is_settled(found):
                # One that cannot be rewritten holds up no other.
                self._progress.again_ns[found.number] = self._environment.monotonic_ns() + AGAIN_NS
                with self._pacing.at(knobs.bytes_per_second) as pace:
                    await self._rewrite(found, knobs, pace)
                del self._progress.again_ns[found.number], self._progress.sealed[found.number]
                return len(due) > 1
        return False

    def _is_settled(self, found: Slice) -> bool:
        """Whether all know of the seal: by the clock, and by how long it is known here, whatever the clock did."""
        now_ns, sealed_us = self._environment.monotonic_ns(), found.moved.sealed_us
        known = self._progress.sealed.get(found.number)
        if known is None or known[0] != sealed_us:
            known = self._progress.sealed[found.number] = sealed_us, now_ns
        return self._environment.now_us() >= sealed_us + SETTLED_US and now_ns >= known[1] + SETTLED_US * 1_000

    async def clear_left(self) -> None:
        """What slices had before is gone where no reader can be under way. To repeat it is safe, and beside a round."""
        await self._served.catalogue.refresh()
        await self._clear_all(self._served.catalogue.slices)

    async def clear(self, run: Left) -> None:
        """The files of a run are gone. To repeat it is safe."""
        await clear_run(self._segments.blobs(run.engine), run.name)

    def _due(self, knobs: Compaction, asked_us: int) -> list[Slice]:
        """The slices to be rewritten, those first whose tables have been sealed long enough."""
        now_ns, monotonic_ns, served = self._environment.now_ns(), self._environment.monotonic_ns(), self._served
        found = list[Slice]()
        for each in served.catalogue.slices:
            if not served.lifetime.is_read(each, now_ns) or self._progress.again_ns.get(each.number, 0) > monotonic_ns:
                continue
            at_ns = due_ns(served, knobs, each)
            early = 0 if each.moved.sealed or at_ns - knobs.after > asked_us * 1_000 else int(knobs.after)
            if at_ns - early <= now_ns:
                found.append(each)
        return sorted(found, key=lambda each: (not each.moved.sealed, each.moved.sealed_us))

    async def _seal(self, found: Slice) -> None:
        now_us = self._environment.now_us()

        def sealed(now: Slice) -> Slice | None:
            return now.resealed(now_us) if now.made and not now.moved.sealed and now.table == found.table else None

        self._check()
        done = await self._served.catalogue.alter(found.number, sealed)
        if done is not None:
            self._is_settled(done)
        self._reached("sealed")

    async def _rewrite(self, found: Slice, knobs: Compaction, pace: Pace) -> None:
        """The slice's events lie in a new run. Raises `DataLoss` where what was written is not what is read back."""
        began = await self._begin(found, knobs)
        if began is None:
            return
        assert began.moved.building is not None
        run, blobs = began.moved.building.name, self._segments.blobs(knobs.engine)
        try:
            written, before = await self._write(began, run, blobs, knobs, pace)
            self._reached("written")
            compacted = Compacted(
                engine=knobs.engine,
                run=run,
                files=len(written.list.files),
                rows=written.list.rows,
                bytes=sum(each.size for each in written.list.files),
                digest=written.digest,
                at_us=self._environment.now_us(),
            )
            await self._verify(compacted, written, before, pace)
            self._reached("verified")
        except NotFound as error:
            # Of a slice that is there it is a loss, and no slice that was dropped meanwhile.
            await self._served.catalogue.check_there(began, error)
            await self.clear(began.moved.building)
            raise
        except DataLoss:
            self._progress.failed += 1
            raise
        if await self._flip(began, compacted):
            self._progress.slices += 1
            self._progress.bytes_in += before.bytes
            self._progress.bytes_out += compacted.bytes
        elif self._served.catalogue.numbered(found.number) is None:
            # It was dropped, and what was written after that is nobody's.
            await self.clear(began.moved.building)
        self._reached("flipped")

    async def _begin(self, found: Slice, knobs: Compaction) -> Slice | None:
        """The slice, of which is noted that a new run is being made; one that was begun before is left."""
        now_us = self._environment.now_us()
        name = f"{prefix_of(self._served)}{found.number}-{uuid4_hex(self._environment)[:12]}"

        def begun(now: Slice) -> Slice | None:
            moved = now.moved
            if moved.sealed != found.moved.sealed or moved.compacted != found.moved.compacted:
                return None
            left = (
                moved.left
                if moved.building is None
                else (*moved.left, Left(moved.building.name, now_us, moved.building.engine))
            )
            return now.altered(msgspec.structs.replace(moved, building=Left(name, now_us, knobs.engine), left=left))

        self._check()
        began = await self._served.catalogue.alter(found.number, begun)
        self._reached("begun")
        return began

    async def _write(self, found: Slice, run: str, blobs: Blobs, knobs: Compaction, pace: Pace) -> tuple[Written, Sum]:
        """The files of the run, and the sum of the rows that they are to have."""
        sorting = Sorting(blobs, f"{run}/sorted/", self._compute)
        for table in found.moved.sealed:
            await self._take(table, sorting, pace)
        sources: list[Source] = await sorting.sources()
        self._reached("sorted")
        old = None
        if found.moved.compacted is not None:
            old = _OfRun(self._segments, found.moved.compacted, self._compute, pace)
            sources.append(old)
        merged = Merged(sources, self._compute)
        about = about_of(self._served, found)
        chunks = merged.chunks()
        async with aclosing(chunks), aclosing(groups(chunks, GROUP_ROWS, GROUP_BYTES)) as made:
            written = await write_run(blobs, run, about, made, knobs.file_size, self._compute, pace, self._check)
        # What was put aside to be sorted.
        await clear_run(blobs, f"{run}/sorted")
        before = sorting.sum if old is None else sorting.sum.plus(old.sum)
        return written, before.minus(merged.lost)

    async def _take(self, table: str, sorting: Sorting, pace: Pace) -> None:
        """All rows of a table are among those to be sorted."""
        position: bytes | None = None
        while True:
            self._check()
            page = await self._served.records.walk(table, 0, 1, position, WALK, self._environment.now_us())
            rows = await self._compute.thread(series_rows, page.partitions)
            await sorting.take(rows, self._check)
            await pace(sum(len(key) + len(cell) for _, key, cell in rows))
            position = page.position
            if position is None:
                return

    async def _verify(self, compacted: Compacted, written: Written, before: Sum, pace: Pace) -> None:
        """What the files have is what went into them, in order. Raises `DataLoss`."""
        run, total, last = self._segments.run(compacted), Sum(), (b"", b"")
        for file in await run.files():
            for group in range(len((await run.open(file)).groups)):
                self._check()
                rows = await run.sorted_rows(file, group)
                total = total.plus(await self._compute.thread(sum_of, rows))
                last = await self._compute.thread(_in_order, rows, last, file)
                await pace(sum(len(key) + len(cell) for _, key, cell in rows))
        if total != before or written.list.checksum != f"{before.checksum:032x}":
            raise DataLoss(
                f"the segments {compacted.run} have {total.rows} rows of {total.bytes} bytes and not the "
                f"{before.rows} of {before.bytes} that the slice has, or others",
                hint="the slice stays in its table; look after the disk, and report this",
            )

    async def _flip(self, found: Slice, compacted: Compacted) -> bool:
        """The slice's events lie in the run, unless something else came to be true of it meanwhile."""
        now_us = self._environment.now_us()

        def flipped(now: Slice) -> Slice | None:
            moved = now.moved
            if (moved.building, moved.sealed, moved.compacted) != (
                found.moved.building,
                found.moved.sealed,
                found.moved.compacted,
            ):
                return None
            left = [*moved.left, *(Left(table, now_us) for table in moved.sealed)]
            if moved.compacted is not None:
                left.append(Left(moved.compacted.run, now_us, moved.compacted.engine))
            return now.altered(Moved(compacted=compacted, left=tuple(left), renewed=moved.renewed))

        self._check()
        return await self._served.catalogue.alter(found.number, flipped) is not None

    async def _clear_all(self, slices: Iterable[Slice]) -> None:
        now_us = self._environment.now_us()
        for found in slices:
            for each in found.moved.left:
                if now_us < each.since_us + (RUN_KEPT_US if each.engine else TABLE_KEPT_US):
                    continue
                try:
                    await self._clear(found, each)
                except LeaseLost:
                    raise
                except SoundstageError as error:
                    # An engine that is away keeps nothing of others waiting.
                    reason = {"namespace": self._served.name, "left": each.name, "reason": str(error)}
                    log.warning("what a time slice had before is left", extra=reason)

    async def _clear(self, found: Slice, gone: Left) -> None:
        self._check()
        if gone.engine:
            await self.clear(gone)
        else:
            await self._served.records.drop_table(gone.name)
        self._reached("cleared")

        def cleared(now: Slice) -> Slice | None:
            left = tuple(each for each in now.moved.left if each != gone)
            return None if left == now.moved.left else now.altered(msgspec.structs.replace(now.moved, left=left))

        await self._served.catalogue.alter(found.number, cleared)


class _OfRun:
    """A source of all that a run has; `sum` is of what was given."""

    def __init__(self, segments: Segments, compacted: Compacted, compute: Compute, pace: Pace) -> None:
        self.rows: list[Sorted] = []
        self.sum: Sum = Sum()
        self._run = segments.run(compacted)
        self._compute = compute
        self._pace = pace
        self._left: list[tuple[SegmentFile, int]] | None = None

    async def more(self) -> bool:
        if self._left is None:
            self._left = [
                (file, group)
                for file in await self._run.files()
                for group in range(len((await self._run.open(file)).groups))
            ]
        if not self._left:
            self.rows = []
            return False
        file, group = self._left.pop(0)
        self.rows = await self._run.sorted_rows(file, group)
        self.sum = self.sum.plus(await self._compute.thread(sum_of, self.rows))
        await self._pace(sum(len(key) + len(cell) for _, key, cell in self.rows))
        return True


def prefix_of(served: ServedNamespace) -> str:
    """What the keys of a namespace's segments begin with, and of no other's."""
    return f"{PREFIX}{digest_of(served.view)}/"


def about_of(served: ServedNamespace, found: Slice) -> About:
    """What files say of the slice that they are of."""
    settings = f"{Duration(found.bucket_ns)} buckets, {found.event_buckets} event buckets, slice {found.number}"
    return About(served.name, found.start, found.end, settings)


async def clear_run(blobs: Blobs, run: str) -> None:
    """No blob is left whose key begins with `run` and a slash. To repeat it is safe."""
    while listed := await blobs.list(f"{run}/"):
        for each in listed:
            await blobs.delete(each.key)


def check_library() -> None:
    """Raise `InvalidArgument` where files of Parquet cannot be made."""
    parquet()


def _in_order(rows: list[Sorted], last: tuple[bytes, bytes], file: SegmentFile) -> tuple[bytes, bytes]:
    """The place of the last of `rows`, all of which come behind `last`. Raises `DataLoss`."""
    for series, key, _ in rows:
        if (series, key) <= last:
            raise DataLoss(f"the file {file.key} is not in order", hint="the slice stays in its table; report this")
        last = series, key
    return last
