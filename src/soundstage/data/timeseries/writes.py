"""Writes: events are checked all together, and then stored partition by partition.

What a late event says is looked up: if it is stored the write repeats one that was acknowledged, and is answered as
that was. A value that is stored and greater is as good: had this one been taken in time, that would be there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any

from soundstage.core.errors import DeadlineExceeded, NotFound, SoundstageError, Unavailable
from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries.events import Record, Window, check_future, late, too_late
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.repeated import not_stored
from soundstage.data.timeseries.slices import Slice, covering
from soundstage.engines.records.port import BATCH_MAX_ITEMS, Batch, Bulk, Cell

AT_ONCE = 32
"""Partitions that one call writes to over a network at the same time."""

UNDER_WAY_NS = 60 * NS_PER_S
"""From where a write begins, going by slices as they were a minute before, until what it stores is stored: a table that
is sealed in between is read when twice as much has passed, and what came later would be lost."""


async def write(served: ServedNamespace, records: Sequence[Record], now_ns: int, deadline_ns: int | None) -> None:
    """All `records` are stored. Raises before anything is when one of them is not to be."""
    fresh = await check(served, records, now_ns, deadline_ns)
    if fresh:
        await store(served, fresh, deadline_ns)
    if served.feed is not None and len(fresh) < len(records):
        # The try that stored them may not have come to tell of them.
        await served.feed.tell(records, deadline_ns)
    served.tally.written += len(records) - len(fresh)


async def check(
    served: ServedNamespace, records: Sequence[Record], now_ns: int, deadline_ns: int | None
) -> list[Record]:
    """Those of `records` that have to be stored yet. Raises `InvalidArgument` when one of them is not to be.

    It looks for late ones no longer than `UNDER_WAY_NS`, whatever the deadline, and raises `DeadlineExceeded` then.
    """
    window = served.window(now_ns)
    check_future(records, window)
    stored = set(await _stored_already(served, records, window, now_ns, _until(served, deadline_ns)))
    return [record for index, record in enumerate(records) if index not in stored] if stored else list(records)


async def store(served: ServedNamespace, records: Sequence[Record], deadline_ns: int | None) -> None:
    """All `records`, which were checked, are stored. When a store fails some may be; to repeat it is safe.

    A try takes no longer than `UNDER_WAY_NS`, whatever the deadline.
    """
    monotonic_ns, until_ns = served.environment.monotonic_ns(), _until(served, deadline_ns)
    if served.catalogue.may_have_moved(min(record.time_ns for record in records), served.environment.now_ns()):
        await served.catalogue.refresh()
    # Another whose clock is ahead may have sealed the table of a slice that has not ended yet.
    await served.catalogue.refresh_seldom(monotonic_ns)
    await served.cover(record.time_ns for record in records)
    try:
        await _store(served, records, until_ns)
    except NotFound:
        # A slice that this process knew was dropped by another. What is to be written may lie in a new one.
        until_ns = _until(served, deadline_ns)
        await served.catalogue.refresh()
        await served.cover(record.time_ns for record in records)
        await _store(served, records, until_ns)
    if served.feed is not None:
        await served.feed.tell(records, deadline_ns)
    served.tally.written += len(records)


def _until(served: ServedNamespace, deadline_ns: int | None) -> int:
    latest_ns = served.environment.monotonic_ns() + UNDER_WAY_NS
    return latest_ns if deadline_ns is None else min(deadline_ns, latest_ns)


async def _stored_already(
    served: ServedNamespace, records: Sequence[Record], window: Window, now_ns: int, until_ns: int
) -> list[int]:
    """The indices of late events, all of which are stored; raises `InvalidArgument` for the first that is not."""

    def in_time() -> None:
        if served.environment.monotonic_ns() >= until_ns:
            raise DeadlineExceeded(
                "there was no time to look for all late events",
                hint="repeat the write, with fewer of them",
                outcome="not_applied",
                retryable=True,
            )

    indices = late(records, window)
    if indices:
        await served.catalogue.refresh()
        missing = await not_stored(served, records, indices, now_ns, in_time)
        if missing:
            served.tally.refused += 1
            raise too_late(min(missing), records[min(missing)])
    return indices


async def _store(served: ServedNamespace, records: Sequence[Record], deadline_ns: int | None) -> None:
    """Every batch is applied. When one fails, the failure of the first is told once all have ended."""
    batches = _batches(served.catalogue.slices, records)
    calls = list(_calls(served, batches, deadline_ns))
    if len(calls) == 1:
        await calls[0]
        return
    done = await asyncio.gather(*calls, return_exceptions=True)
    failures = [each for each in done if isinstance(each, BaseException)]
    if failures:
        raise _told(failures, some=len(failures) < len(done))


def _calls(
    served: ServedNamespace, batches: Mapping[str, Sequence[tuple[bytes, Batch]]], deadline_ns: int | None
) -> Iterator[Coroutine[Any, Any, None]]:
    """What stores the `batches` of each table: a call for all where the engine can, or one for each."""
    # On a disk all writes of a call are one flush.
    turns = asyncio.Semaphore(AT_ONCE if served.elsewhere else BATCH_MAX_ITEMS)

    async def each(table: str, those: Sequence[tuple[bytes, Batch]], bulk: Bulk) -> None:
        try:
            await bulk.apply_each(table, those, deadline_ns=deadline_ns)
        except NotFound as error:
            await served.catalogue.check_kept(table, error)
            raise

    async def one(table: str, partition: bytes, batch: Batch) -> None:
        async with turns:
            try:
                await served.records.apply(table, partition, batch, deadline_ns=deadline_ns)
            except NotFound as error:
                await served.catalogue.check_kept(table, error)
                raise

    for table, those in batches.items():
        if served.bulk is not None:
            yield each(table, those, served.bulk)
        else:
            yield from (one(table, partition, batch) for partition, batch in those)


def _batches(slices: Sequence[Slice], records: Sequence[Record]) -> dict[str, list[tuple[bytes, Batch]]]:
    """The rows by table and partition; of two under one key the greater."""
    tables: dict[str, dict[bytes, dict[bytes, Cell]]] = {}
    found: Slice | None = None
    partitions: dict[bytes, dict[bytes, Cell]] = {}
    for record in records:
        if found is None or not found.start <= record.time_ns < found.end:
            found = covering(slices, record.time_ns)
            if found is None:
                raise NotFound("a time slice was dropped meanwhile", hint="repeat the write")
            partitions = tables.setdefault(found.table, {})
        cells = partitions.setdefault(found.partition(record.series, record.time_ns, record.event_id), {})
        for key, cell in record.rows:
            if cell > cells.get(key, b""):
                cells[key] = cell
    return {
        table: [(partition, Batch(cells=list(cells.items()))) for partition, cells in those.items()]
        for table, those in tables.items()
    }


def _told(failures: Sequence[BaseException], *, some: bool) -> BaseException:
    """What to raise: the worst of what was no error of a store, else the first, which says that some may be stored."""
    for failure in failures:
        if not isinstance(failure, SoundstageError):
            return failure
    first = failures[0]
    if some and isinstance(first, Unavailable | DeadlineExceeded):
        first.outcome, first.retryable = "unknown", True
    return first
