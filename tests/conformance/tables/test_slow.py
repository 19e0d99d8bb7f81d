"""PostgreSQL behind a network that is slow: calls end by their deadline, and all is well when it is quick again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.conformance.calls import WAIT_S, refused, within
from tests.conformance.proxy import Proxy
from tests.conformance.tables.conftest import address_at

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.engines.tables.filters import equal
from soundstage.engines.tables.iceberg import IcebergTables
from soundstage.engines.tables.port import AddColumn, Column
from soundstage.servers import Cluster
from soundstage.testing.tables.samples import SPEC, film, ids, rows

PAUSE_S = 3.0
"""Before each piece of an answer: longer than a call may take."""

DEADLINE_S = 0.5

WRITERS, EACH = 3, 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
async def proxy(postgresql: Cluster) -> AsyncIterator[Proxy]:
    async with Proxy(postgresql.url).running() as running:
        yield running


def engine_by(proxy: Proxy, server: Cluster, folder: Path, catalogue: str, query: str = "") -> IcebergTables:
    """An engine whose database is beyond the proxy."""
    url = server.url.replace(urlsplit(server.url).netloc.rpartition("@")[2], proxy.address)
    return IcebergTables(address_at(url, folder, catalogue, query), SystemEnvironment(), durable=False)


@pytest.fixture
async def engine(proxy: Proxy, postgresql: Cluster, tmp_path: Path, catalogue: str) -> AsyncIterator[IcebergTables]:
    """With a table of one film; nothing is left when it stops."""
    made = engine_by(proxy, postgresql, tmp_path, catalogue)
    await made.start()
    await made.create(SPEC)
    await made.append("films", rows(film(1)))
    yield made
    proxy.quick()
    await made.stop()
    await proxy.deserted()
    await threads_gone()


async def threads_gone() -> None:
    """Those of engines have ended, which a stop does not wait for where they have nothing to do."""
    async with asyncio.timeout(WAIT_S):
        while any(each.name.startswith("tables") for each in threading.enumerate()):  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.01)


async def scanned(engine: IcebergTables, deadline_ns: int) -> int:
    return sum([batch.num_rows async for batch in engine.scan("films", deadline_ns=deadline_ns)])


async def test_calls_end_by_their_deadline_and_all_goes_on_when_it_is_quick_again(
    engine: IcebergTables, proxy: Proxy
) -> None:
    proxy.slow(PAUSE_S)
    answered, deadline_ns = proxy.answered, within(DEADLINE_S)
    late = await asyncio.gather(
        refused(engine.append("films", rows(film(2)), deadline_ns=deadline_ns)),
        refused(engine.delete("films", equal("id", 1), deadline_ns=deadline_ns)),
        refused(engine.evolve("films", [AddColumn(Column(name="year", type="int32"))], deadline_ns=deadline_ns)),
        refused(engine.info("films", deadline_ns=deadline_ns)),
        refused(engine.tables(deadline_ns=deadline_ns)),
        refused(scanned(engine, deadline_ns)),
    )
    assert proxy.answered == answered, "they ended when something was answered"
    proxy.quick()
    assert {(type(each), each.outcome) for each in late} == {(DeadlineExceeded, "not_applied")}
    await engine.append("films", rows(film(3)))
    assert await ids(engine) == [1, 3]


async def test_without_a_deadline_a_statement_is_waited_for_no_longer_than_the_engine_says(
    engine: IcebergTables, proxy: Proxy, postgresql: Cluster, tmp_path: Path
) -> None:
    hasty = engine_by(proxy, postgresql, tmp_path, engine._address.options.catalogue, "statement=1s&attempt=2s")
    await hasty.start()
    proxy.slow(PAUSE_S)
    silent = await asyncio.gather(refused(hasty.info("films")), refused(hasty.append("films", rows(film(2)))))
    proxy.quick()
    assert {(type(each), each.retryable, each.outcome) for each in silent} == {(Unavailable, True, "not_applied")}
    await hasty.append("films", rows(film(3)))
    assert await ids(hasty) == [1, 3]
    await hasty.stop()


async def test_what_was_acknowledged_while_it_was_slow_is_there_once(engine: IcebergTables, proxy: Proxy) -> None:
    acknowledged: list[int] = []
    given_up: list[SoundstageError] = []

    async def write(writer: int) -> None:
        for number in range(EACH):
            id = 100 * (1 + writer) + number
            try:
                await engine.append("films", rows(film(id)), deadline_ns=within(60.0 if number % 2 else 0.3))
            except (DeadlineExceeded, Unavailable) as error:
                given_up.append(error)
            else:
                acknowledged.append(id)

    proxy.slow(0.05, 200_000)
    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    proxy.quick()
    kept = await ids(engine)
    assert (len(given_up) > 0, len(acknowledged) > 0) == (True, True)
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))
