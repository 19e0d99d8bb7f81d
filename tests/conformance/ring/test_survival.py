"""One node after another is paused or killed, and then most of them at once, while writers and readers go on.

The last tests of the ring, whose third node they leave dead. What must hold: whatever was acknowledged is there at the
end, a read that begins after a write was acknowledged finds that write or a later one, and what a linearizable table
answers is what one register would.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Generator
from contextvars import ContextVar
from typing import Any

import pytest
from tests.conformance.calls import WAIT_S, within
from tests.conformance.cassandra.conftest import link_to
from tests.conformance.held import held
from tests.conformance.pauses import paused
from tests.conformance.ring.contest import DECIDED, Contest
from tests.conformance.ring.traffic import (
    GUARDED,
    LOOSE,
    PACE_S,
    PLAIN,
    SLOW_S,
    TURNED_DOWN,
    Traffic,
    now_us,
    put,
)

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.core.policy import Budget as Budgeted
from soundstage.core.policy import HedgePolicy, hedged
from soundstage.engines.records.cassandra import CassandraRecords, Link
from soundstage.engines.records.port import ALL, Budget, TableSpec
from soundstage.servers import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LATE_S, UNHEARD_S = 0.5, 4.0
"""When a read is sent a second time, and by when it must have been answered."""

LATE_READS = 40
"""At once, of which about a third ask the node that hangs, and two thirds of these another one the second time."""

ASKED: ContextVar[list[str]] = ContextVar("asked")

DEADLINE_S = 1.5
ENDED_S = 45.0
"""By then a call is over that was given a deadline: far from it even where the machine is busy, and half of what a
call without one is tried for."""


@pytest.fixture(scope="module")
def every_copy(ring: Cluster, link: Link) -> Generator[Link]:
    """What this one writes and reads is acknowledged by all three nodes."""
    assert link.session is not None
    with held(link_to(ring.url, "consistency=all&attempt_s=2&patience_s=90")) as found:
        yield found


@pytest.fixture
def space() -> str:
    return f"nodes-{time.time_ns()}"


@pytest.fixture
async def engine(link: Link, space: str) -> AsyncIterator[CassandraRecords]:
    opened = CassandraRecords(link, SystemEnvironment(), space)
    await opened.start()
    await opened.create_table(TableSpec(name=PLAIN))
    await opened.create_table(TableSpec(name=GUARDED, conditional=True))
    await opened.create_table(TableSpec(name=LOOSE, eventual=True))
    await opened.create_table(TableSpec(name=DECIDED, conditional=True, serial=True))
    yield opened
    await opened.stop()


@pytest.fixture
async def rival(link: Link, space: str, engine: CassandraRecords) -> AsyncIterator[CassandraRecords]:
    """The same tables in another process, as far as the engine can tell."""
    opened = CassandraRecords(link, SystemEnvironment(), space)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def whole(every_copy: Link, space: str, engine: CassandraRecords) -> AsyncIterator[CassandraRecords]:
    """The same tables, of which it asks every copy: what its calls wait for is that every node takes part."""
    opened = CassandraRecords(every_copy, SystemEnvironment(), space)
    await opened.start()
    yield opened
    await opened.stop()


async def all_take_part(whole: CassandraRecords) -> None:
    """Every node answers, and the others know."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await whole.apply(PLAIN, b"every", put(b"key", 0), deadline_ns=within(2))
            except TURNED_DOWN:
                await asyncio.sleep(0.1)
                continue
            return


async def back(cluster: Cluster, whole: CassandraRecords, traffic: Traffic, contest: Contest) -> None:
    """Nodes that were killed run again and take part."""
    traffic.pace_s = contest.pace_s = SLOW_S
    await asyncio.to_thread(cluster.start)
    await asyncio.to_thread(cluster.ready)
    await all_take_part(whole)
    traffic.pace_s = contest.pace_s = PACE_S


async def refused(call: Awaitable[object]) -> tuple[SoundstageError, float]:
    """How a call ended, which must fail, and after how long."""
    began = time.monotonic()
    with pytest.raises(SoundstageError) as error:
        await call
    return error.value, time.monotonic() - began


async def unread(engine: CassandraRecords) -> bool:
    """Whether a read that has a moment shows nothing, and does not say that there is nothing."""
    try:
        page = await engine.read(PLAIN, b"one", ALL, Budget(deadline_ns=within(DEADLINE_S)), now_us())
    except Unavailable as error:
        return error.retryable
    return (page.rows, page.resume) == ([], b"")


async def kept(engine: CassandraRecords, table: str, record: bytes) -> set[bytes]:
    page = await engine.read(table, record, ALL, Budget(deadline_ns=within(WAIT_S)), now_us())
    return {key for key, _ in page.rows}


async def read_twice(engine: CassandraRecords, record: bytes) -> tuple[list[str], bool]:
    """The nodes that a read asked, which is sent a second time when it is late; and whether it was answered."""
    asked: list[str] = []
    ASKED.set(asked)
    ends_ns = within(UNHEARD_S)

    async def attempt() -> bool:
        page = await engine.get(PLAIN, record, [b"key"], now_us(), Budget(deadline_ns=ends_ns))
        return page.resume is None and len(page.rows) == 1

    try:
        answered = await hedged(attempt, HedgePolicy(after_s=LATE_S), Budgeted(1.0), SystemEnvironment())
    except TURNED_DOWN:
        answered = False
    return asked, answered


async def test_a_read_that_is_late_for_a_node_that_hangs_is_sent_to_another_and_answered(
    ring: Cluster, link: Link, engine: CassandraRecords, whole: CassandraRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [b"late-%d" % number for number in range(LATE_READS)]
    await asyncio.gather(*(engine.apply(PLAIN, record, put(b"key", 1), deadline_ns=within(30)) for record in records))
    send = link.session.execute_async

    def noted(*given: Any, **named: Any) -> Any:
        sent = send(*given, **named)
        ASKED.get([]).append(sent._current_host.address)
        return sent

    monkeypatch.setattr(link.session, "execute_async", noted)
    async with paused(ring.servers[2], seconds=0):
        reads = await asyncio.gather(*(read_twice(engine, record) for record in records))
    monkeypatch.undo()
    await all_take_part(whole)
    hangs = ring.servers[2].node.host
    assert [answered for (first, *more), answered in reads if first == hangs and set(more[:1]) - {hangs} and answered]


async def test_a_node_that_hangs_holds_up_nobody_for_good(
    ring: Cluster, engine: CassandraRecords, rival: CassandraRecords, whole: CassandraRecords
) -> None:
    async with Traffic(engine) as traffic, Contest((engine, rival)) as contest:
        await traffic.more(20)
        async with paused(ring.servers[2]):
            await traffic.more(20)
            await contest.more(5)
        await all_take_part(whole)
        await traffic.more(20)
        await contest.more(5)
    assert (await traffic.wrong(), contest.wrong) == ([], [])


async def test_one_node_may_be_killed_and_two_only_hold_calls_up_until_they_are_back(
    ring: Cluster, engine: CassandraRecords, rival: CassandraRecords, whole: CassandraRecords
) -> None:
    one, two, three = ring.servers
    async with Traffic(engine) as traffic, Contest((engine, rival)) as contest:
        await traffic.more(20)
        one.kill()
        await traffic.more(20)
        await contest.more(5)
        two.kill()
        ended = await asyncio.gather(
            refused(engine.apply(PLAIN, b"more", put(b"key", 1), deadline_ns=within(DEADLINE_S))),
            refused(engine.apply(GUARDED, b"more", put(b"key", 1), deadline_ns=within(DEADLINE_S))),
        )
        nothing_read = await unread(engine)
        # Of what one replica is enough for, the last one takes and shows everything.
        await engine.apply(LOOSE, b"more", put(b"alone", 1), deadline_ns=within(WAIT_S))
        shown = await kept(engine, LOOSE, b"more")
        await back(ring, whole, traffic, contest)
        await whole.create_table(TableSpec(name=LOOSE))
        caught_up = await kept(whole, LOOSE, b"more")
        # What was acknowledged while one of them was gone is with the two that were.
        three.kill()
        await traffic.more(20)
        await contest.more(5)
    assert (await traffic.wrong(), contest.wrong, nothing_read) == ([], [], True)
    assert (shown, caught_up) == ({b"alone"}, {b"alone"})
    assert all(took_s < ENDED_S for _, took_s in ended)
    assert {type(error) for error, _ in ended} <= set(TURNED_DOWN)
    assert all(error.outcome in ("unknown", "not_applied") for error, _ in ended)
    assert all(error.retryable for error, _ in ended if isinstance(error, Unavailable))
