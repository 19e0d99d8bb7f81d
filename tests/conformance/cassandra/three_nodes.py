"""Three real nodes at quorum while one after another is paused or killed, and then most of them at once.

Writers and readers go on all the while. What must hold: whatever was acknowledged is there at the end, and a read that
begins after a write was acknowledged finds that write or a later one.

No part of `script/test`, for what it takes: 87 s and 1.4 GiB on two cores that do nothing else.

    pytest tests/conformance/cassandra/three_nodes.py
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator

import pytest
from tests.conformance.cassandra.conftest import link_to

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.engines.records.cassandra import CassandraRecords, Link
from soundstage.engines.records.port import ALL, Batch, Budget, Span, TableSpec
from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

pytestmark = pytest.mark.slow

PLAIN, GUARDED = "three/plain", "three/guarded"
WRITERS = {b"one": PLAIN, b"two": PLAIN, b"three": PLAIN, b"four": GUARDED}
PAUSED_S = 10.0
PACE_S = 0.02
"""Between two calls of one writer or reader, so that nodes that start have the processor too."""

WAIT_S = 120.0
"""For what takes a moment, or somewhat longer on a machine that is busy."""

three_nodes: Callable[[], Generator[Cluster]] = server_fixture(
    "cassandra", nodes=3, scope="module", settings={"heap_mb": "384"}
)


@pytest.fixture(scope="module")
def link(three_nodes: Cluster) -> Generator[Link]:
    found = link_to(three_nodes.url, "attempt_s=2&patience_s=20")
    found.hold()
    yield found
    found.let_go()


@pytest.fixture(scope="module")
def every_copy(three_nodes: Cluster) -> Generator[Link]:
    """Writes of this one are acknowledged by all three nodes."""
    found = link_to(three_nodes.url, "consistency=all&attempt_s=2&space=every")
    found.hold()
    yield found
    found.let_go()


@pytest.fixture
async def engine(link: Link) -> AsyncIterator[CassandraRecords]:
    opened = CassandraRecords(link, SystemEnvironment(), f"three-{time.time_ns()}")
    await opened.start()
    await opened.create_table(TableSpec(name=PLAIN))
    await opened.create_table(TableSpec(name=GUARDED, conditional=True))
    yield opened
    await opened.stop()


@pytest.fixture
async def whole(every_copy: Link, engine: CassandraRecords) -> AsyncIterator[CassandraRecords]:
    """What its writes wait for is that every node takes part again."""
    opened = CassandraRecords(every_copy, SystemEnvironment())
    await opened.start()
    await opened.create_table(TableSpec(name=PLAIN))
    yield opened
    await opened.stop()


def now_us() -> int:
    return time.time_ns() // 1_000


def within(seconds: float) -> int:
    return time.monotonic_ns() + round(seconds * 1e9)


def put(key: bytes, number: int) -> Batch:
    return Batch(cells=[(key, version.put(now_us(), f"token-{number}", b"%d" % number))])


class Traffic:
    """One writer and one reader for each record; the key `last` is written anew with each number, others once."""

    def __init__(self, engine: CassandraRecords) -> None:
        self.acknowledged: dict[bytes, list[int]] = {record: [] for record in WRITERS}
        self.stale: list[str] = []
        self.reads = 0
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
            except (Unavailable, DeadlineExceeded):
                await asyncio.sleep(PACE_S)
                continue
            self.acknowledged[record].append(number)
            self._progress.set()
            await asyncio.sleep(PACE_S)

    async def _read(self, table: str, record: bytes) -> None:
        while not self._stopping:
            numbers = self.acknowledged[record]
            least = numbers[-1] if numbers else 0
            try:
                page = await self._engine.get(table, record, [b"last"], now_us(), Budget(deadline_ns=within(5)))
            except (Unavailable, DeadlineExceeded):
                await asyncio.sleep(PACE_S)
                continue
            await asyncio.sleep(PACE_S)
            if page.resume is not None:
                continue
            self.reads += 1
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


async def all_take_part(whole: CassandraRecords) -> None:
    """Every node answers, and the others know."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await whole.apply(PLAIN, b"every", put(b"key", 0), deadline_ns=within(2))
            except (Unavailable, DeadlineExceeded):
                continue
            return


async def back(cluster: Cluster, whole: CassandraRecords) -> None:
    """Nodes that were killed run again and take part."""
    await asyncio.to_thread(cluster.start)
    await asyncio.to_thread(cluster.ready)
    await all_take_part(whole)


async def refused(call: Awaitable[object]) -> tuple[SoundstageError, float]:
    """How a call ended, which must fail, and after how long."""
    began = time.monotonic()
    with pytest.raises(SoundstageError) as error:
        await call
    return error.value, time.monotonic() - began


async def unread(engine: CassandraRecords) -> bool:
    """Whether a read that has a moment shows nothing, and does not say that there is nothing."""
    try:
        page = await engine.read(PLAIN, b"one", ALL, Budget(deadline_ns=within(1.5)), now_us())
    except Unavailable as error:
        return error.retryable
    return (page.rows, page.resume) == ([], b"")


async def test_a_node_that_hangs_for_ten_seconds_holds_up_nobody_for_good(
    three_nodes: Cluster, engine: CassandraRecords, whole: CassandraRecords
) -> None:
    async with Traffic(engine) as traffic:
        await traffic.more(20)
        three_nodes.servers[2].pause()
        try:
            resumes = time.monotonic() + PAUSED_S
            await traffic.more(20)
            await asyncio.sleep(max(0.0, resumes - time.monotonic()))
        finally:
            three_nodes.servers[2].resume()
        await all_take_part(whole)
        await traffic.more(20)
    assert await traffic.wrong() == []


async def test_one_node_may_be_killed_and_two_only_hold_calls_up_until_they_are_back(
    three_nodes: Cluster, engine: CassandraRecords, whole: CassandraRecords
) -> None:
    one, two, three = three_nodes.servers
    async with Traffic(engine) as traffic:
        await traffic.more(20)
        one.kill()
        await traffic.more(20)
        two.kill()
        ended = await asyncio.gather(
            refused(engine.apply(PLAIN, b"more", put(b"key", 1), deadline_ns=within(1.5))),
            refused(engine.apply(GUARDED, b"more", put(b"key", 1), deadline_ns=within(1.5))),
        )
        nothing_read = await unread(engine)
        await back(three_nodes, whole)
        await traffic.more(20)
        three.kill()
        await traffic.more(20)
        await back(three_nodes, whole)
    assert (await traffic.wrong(), nothing_read) == ([], True)
    assert all(took_s < 5 for _, took_s in ended)
    assert {type(error) for error, _ in ended} <= {Unavailable, DeadlineExceeded}
    assert all(error.outcome in ("unknown", "not_applied") for error, _ in ended)
    assert all(error.retryable for error, _ in ended if isinstance(error, Unavailable))
