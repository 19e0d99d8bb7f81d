"""Writers and readers of a few records that go on whatever becomes of the nodes, and what they found wrong."""

from __future__ import annotations

import asyncio
import time

from tests.conformance.calls import WAIT_S, within

from soundstage.core import version
from soundstage.core.errors import DeadlineExceeded, Exhausted, Unavailable
from soundstage.engines.records.cassandra import CassandraRecords
from soundstage.engines.records.port import Batch, Budget, Span

PLAIN, GUARDED, LOOSE = "ring/plain", "ring/guarded", "ring/loose"
WRITERS = {b"one": PLAIN, b"two": PLAIN, b"three": PLAIN, b"four": GUARDED}

TURNED_DOWN = (Unavailable, DeadlineExceeded, Exhausted)
"""What a call may end with while nodes are missing, or have too much to do as they come back."""

PACE_S, SLOW_S = 0.02, 0.2
"""Between two calls of one writer or reader, and while nodes start, so that they have the processor too."""

_last_us = 0


def now_us() -> int:
    """Later each time, as the clock that gives tokens is, even when the machine's is set back."""
    global _last_us
    _last_us = max(_last_us + 1, time.time_ns() // 1_000)
    return _last_us


def put(key: bytes, number: int) -> Batch:
    return Batch(cells=[(key, version.put(now_us(), f"token-{number}", b"%d" % number))])


class Traffic:
    """One writer and one reader for each record; the key `last` is written anew with each number, others once."""

    def __init__(self, engine: CassandraRecords) -> None:
        self.acknowledged: dict[bytes, list[int]] = {record: [] for record in WRITERS}
        self.stale: list[str] = []
        self.pace_s: float = PACE_S
        self._engine = engine
        self._stopping = False
        self._progress = asyncio.Event()
        self._tasks: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Traffic:
        for record, table in WRITERS.items():
            self._tasks.append(asyncio.ensure_future(self._write(table, record)))
            self._tasks.append(asyncio.ensure_future(self._read(table, record)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """So many more writes of each record are acknowledged."""
        until = {record: len(numbers) + count for record, numbers in self.acknowledged.items()}
        async with asyncio.timeout(WAIT_S):
            while any(len(self.acknowledged[record]) < wanted for record, wanted in until.items()):
                # One that ended by anything but a refusal says here why.
                for ended in [task for task in self._tasks if task.done()]:
                    ended.result()
                self._progress.clear()
                await self._progress.wait()

    async def wrong(self) -> list[str]:
        """The first of what was acknowledged and is not there, by record, and of the reads that were stale."""
        found = {record: sorted(set(self.acknowledged[record]) - await self._kept(record)) for record in WRITERS}
        lost = [f"{record!r} lost {len(each)}, such as {each[:3]}" for record, each in found.items() if each]
        return lost + self.stale[:3]

    async def _write(self, table: str, record: bytes) -> None:
        number = 0
        while not self._stopping:
            number += 1
            cells = [*put(b"last", number).cells, *put(b"%06d" % number, number).cells]
            try:
                await self._engine.apply(table, record, Batch(cells=cells), deadline_ns=within(5))
            except TURNED_DOWN:
                await asyncio.sleep(self.pace_s)
                continue
            self.acknowledged[record].append(number)
            self._progress.set()
            await asyncio.sleep(self.pace_s)

    async def _read(self, table: str, record: bytes) -> None:
        while not self._stopping:
            numbers = self.acknowledged[record]
            least = numbers[-1] if numbers else 0
            try:
                page = await self._engine.get(table, record, [b"last"], now_us(), Budget(deadline_ns=within(5)))
            except TURNED_DOWN:
                await asyncio.sleep(self.pace_s)
                continue
            await asyncio.sleep(self.pace_s)
            if page.resume is not None:
                continue
            shown = int(bytes(version.split(page.rows[0][1]).value)) if page.rows else 0
            if shown < least:
                self.stale.append(f"{record!r} showed {shown} after {least} had been acknowledged")

    async def _kept(self, record: bytes) -> set[int]:
        found: set[int] = set()
        span = Span(b"0", b"l")
        while True:
            page = await self._engine.read(WRITERS[record], record, span, Budget(), now_us())
            found |= {int(key) for key, _ in page.rows}
            if page.resume is None:
                return found
            span = Span(page.resume, span.end)
