"""A real node behind a network that is slow: calls end by their deadline, and all is well when it is quick again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from tests.conformance.calls import WAIT_S, refused, within
from tests.conformance.cassandra.conftest import link_to
from tests.conformance.proxy import Proxy

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.engines.records.cassandra import CassandraRecords
from soundstage.engines.records.port import ALL, Batch, Budget, Conditional, TableSpec
from soundstage.servers import Cluster

PLAIN, GUARDED = "slow/plain", "slow/guarded"

PAUSE_S = 3.0
"""Before each piece of an answer: longer than a call may take."""

DEADLINE_S = 0.5

WRITERS, EACH = 4, 8

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
async def proxy(cassandra: Cluster) -> AsyncIterator[Proxy]:
    async with Proxy(cassandra.url).running() as running:
        yield running


@pytest.fixture
async def engine(proxy: Proxy) -> AsyncIterator[CassandraRecords]:
    """An engine on the node, with two tables, of which nothing is left when it stops."""
    link = link_to(f"cassandra://{proxy.address}", "attempt_s=2&patience_s=60")
    opened = CassandraRecords(link, SystemEnvironment(), f"slow-{time.time_ns()}")
    await opened.start()
    await opened.create_table(TableSpec(name=PLAIN))
    await opened.create_table(TableSpec(name=GUARDED, conditional=True))
    yield opened
    proxy.quick()
    left = opened.parts.requests.in_flight, opened.parts.requests.waiting
    await opened.stop()
    await proxy.deserted()
    assert left == (0, 0)


def now_us() -> int:
    return time.time_ns() // 1_000


def put(key: bytes) -> Batch:
    return Batch(cells=[(key, version.put(now_us(), f"token-{key.decode()}", b"value"))])


async def keys(engine: CassandraRecords, table: str) -> set[bytes]:
    page = await engine.read(table, b"record", ALL, Budget(), now_us())
    return {key for key, _ in page.rows}


async def settled(engine: CassandraRecords) -> None:
    """It answers again."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await engine.apply(PLAIN, b"settled", put(b"key"), deadline_ns=within(5))
            except (Unavailable, DeadlineExceeded):
                continue
            return


async def test_calls_end_by_their_deadline_and_all_goes_on_when_it_is_quick_again(
    engine: CassandraRecords, proxy: Proxy
) -> None:
    asked = Conditional(conditions=[], token="call", digest=b"", limit_us=now_us() + 10**9)
    await engine.apply(PLAIN, b"record", put(b"before"))
    proxy.slow(PAUSE_S)
    answered, deadline_ns = proxy.answered, within(DEADLINE_S)
    late = await asyncio.gather(
        refused(engine.apply(PLAIN, b"record", put(b"during"), deadline_ns=deadline_ns)),
        refused(engine.apply(GUARDED, b"record", put(b"during"), conditional=asked, deadline_ns=deadline_ns)),
    )
    page = await engine.read(PLAIN, b"record", ALL, Budget(deadline_ns=within(DEADLINE_S)), now_us())
    assert proxy.answered == answered, "they ended when something was answered"
    proxy.quick()
    await settled(engine)
    assert {type(each) for each in late} <= {DeadlineExceeded, Unavailable}
    assert all(each.retryable for each in late if isinstance(each, Unavailable))
    assert late[0].outcome == "unknown"
    assert (page.rows, page.resume) == ([], b"")
    assert b"before" in await keys(engine, PLAIN)


@pytest.mark.parametrize("table", [PLAIN, GUARDED])
async def test_what_was_acknowledged_while_it_was_slow_is_there(
    engine: CassandraRecords, proxy: Proxy, table: str
) -> None:
    acknowledged: set[bytes] = set()
    given_up: list[SoundstageError] = []

    async def write(writer: int) -> None:
        for number in range(EACH):
            key = b"%d-%d" % (writer, number)
            try:
                await engine.apply(table, b"record", put(key), deadline_ns=within(60.0 if number % 2 else 0.05))
            except (DeadlineExceeded, Unavailable) as error:
                given_up.append(error)
            else:
                acknowledged.add(key)

    proxy.slow(0.1, 100_000)
    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    proxy.quick()
    await settled(engine)
    assert (len(given_up) > 0, len(acknowledged) >= WRITERS) == (True, True)
    assert acknowledged - await keys(engine, table) == set()
