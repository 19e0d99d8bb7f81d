"""A real PostgreSQL that stands still amid statements: calls end by their deadline, and all is well when it goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from tests.conformance.calls import WAIT_S, refused, within
from tests.conformance.tables.conftest import address_at

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.tables.filters import equal
from soundstage.engines.tables.iceberg import IcebergTables
from soundstage.engines.tables.port import AddColumn, Column
from soundstage.servers import Cluster
from soundstage.testing.tables.samples import SPEC, film, ids, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ENVIRONMENT = SystemEnvironment()
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'client backend'"
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
TABLES = "LOCK TABLE iceberg_tables IN ACCESS EXCLUSIVE MODE"
ROWS = "SELECT 1 FROM iceberg_tables FOR UPDATE"


class Other:
    """Somebody else at the database, in whose way statements wait, so that it can be stopped amid them."""

    def __init__(self, url: str) -> None:
        self._holding = psycopg.connect(url)
        self._looking = psycopg.connect(url, autocommit=True)

    def hold(self, statement: LiteralString) -> None:
        self._holding.execute(statement)

    def let_go(self) -> None:
        self._holding.rollback()

    def count(self, statement: LiteralString) -> int:
        found: Any = self._looking.execute(statement).fetchone()
        return int(found[0])

    def close(self) -> None:
        self._holding.close()
        self._looking.close()

    async def waited_for(self, *calls: asyncio.Future[Any]) -> bool:
        """Whether a statement came to wait before all of `calls` had ended."""
        while not all(each.done() for each in calls):
            if await asyncio.to_thread(self.count, WAITING):
                return True
            await asyncio.sleep(0.01)
        return False

    async def alone(self) -> None:
        """Nobody but this one is connected."""
        async with asyncio.timeout(WAIT_S):
            while await asyncio.to_thread(self.count, OTHERS) != 1:  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)


@pytest.fixture
async def other(postgresql: Cluster) -> AsyncIterator[Other]:
    made = Other(postgresql.url)
    yield made
    made.close()


def engine_at(postgresql: Cluster, folder: Path, catalogue: str, query: str = "") -> IcebergTables:
    return IcebergTables(address_at(postgresql.url, folder, catalogue, query), ENVIRONMENT, durable=False)


@pytest.fixture
async def engine(postgresql: Cluster, tmp_path: Path, catalogue: str) -> AsyncIterator[IcebergTables]:
    made = engine_at(postgresql, tmp_path, catalogue)
    await made.start()
    await made.create(SPEC)
    await made.append("films", rows(film(1)))
    yield made
    await made.stop()


@contextmanager
def still(postgresql: Cluster) -> Generator[None]:
    """Within the block the database stands still."""
    postgresql.servers[0].pause()
    try:
        yield
    finally:
        postgresql.servers[0].resume()


async def all_rows(engine: IcebergTables, deadline_ns: int) -> int:
    return sum([batch.num_rows async for batch in engine.scan("films", deadline_ns=deadline_ns)])


async def test_calls_end_by_their_deadline_amid_statements_and_work_again_when_it_goes_on(
    engine: IcebergTables, other: Other, postgresql: Cluster
) -> None:
    other.hold(TABLES)
    by_ns = within(2)
    changes = [
        engine.append("films", rows(film(2)), deadline_ns=by_ns),
        engine.delete("films", equal("id", 1), deadline_ns=by_ns),
        engine.evolve("films", [AddColumn(Column(name="year", type="int32"))], deadline_ns=by_ns),
    ]
    reads = [engine.info("films", deadline_ns=by_ns), all_rows(engine, by_ns), engine.tables(deadline_ns=by_ns)]
    calls = [asyncio.ensure_future(refused(each)) for each in (*changes, *reads)]
    await other.waited_for(*calls)
    with still(postgresql):
        errors = await asyncio.gather(*calls)
        late = await refused(engine.info("films", deadline_ns=within(0.2)))
    assert {(type(each), each.outcome) for each in [*errors, late]} == {(DeadlineExceeded, "not_applied")}
    other.let_go()
    assert await ids(engine) == [1]
    await engine.append("films", rows(film(3)), deadline_ns=within(100))
    assert (await ids(engine), await all_rows(engine, within(100))) == ([1, 3], 2)
    await other.alone()
    threads = sum(each.name.startswith("tables") for each in threading.enumerate())
    assert threads <= engine._address.options.threads


async def test_of_a_change_that_is_late_amid_its_commit_nobody_knows_and_the_database_takes_it_back(
    engine: IcebergTables, other: Other, postgresql: Cluster
) -> None:
    other.hold(ROWS)
    call = asyncio.ensure_future(refused(engine.append("films", rows(film(2)), deadline_ns=within(3))))
    amid = await other.waited_for(call)
    with still(postgresql):
        error = await call
    assert type(error) is DeadlineExceeded
    assert error.outcome == "unknown" or not amid
    other.let_go()
    await other.alone()
    assert await ids(engine) == [1]
    await engine.append("films", rows(film(3)))
    assert await ids(engine) == [1, 3]


async def test_a_call_without_a_deadline_waits_for_a_statement_no_longer_than_the_engine_says(
    engine: IcebergTables, other: Other, postgresql: Cluster, tmp_path: Path
) -> None:
    hasty = engine_at(postgresql, tmp_path, engine._address.options.catalogue, "statement=3s&attempt=2s")
    await hasty.start()
    other.hold(TABLES)
    calls = [
        asyncio.ensure_future(refused(each)) for each in (hasty.info("films"), hasty.append("films", rows(film(2))))
    ]
    await other.waited_for(*calls)
    with still(postgresql):
        errors = await asyncio.gather(*calls)
    assert {(type(each), each.retryable) for each in errors} == {(Unavailable, True)}
    other.let_go()
    assert await ids(hasty) == [1]
    await hasty.append("films", rows(film(3)))
    assert await ids(hasty) == [1, 3]
    await hasty.stop()


async def test_a_stop_and_a_caller_that_leaves_wait_for_no_database(
    engine: IcebergTables, other: Other, postgresql: Cluster, tmp_path: Path
) -> None:
    patient = engine_at(postgresql, tmp_path, engine._address.options.catalogue, "statement=1h")
    await patient.start()
    other.hold(TABLES)
    leaving, staying = (asyncio.ensure_future(patient.info("films")) for _ in range(2))
    assert await other.waited_for(leaving, staying)
    with still(postgresql):
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await patient.stop()
        error = await refused(staying)
    other.let_go()
    assert (type(error), error.outcome) == (Unavailable, "not_applied")
    await other.alone()


async def test_a_start_amid_which_the_database_stands_still_fails_with_the_reason(
    engine: IcebergTables, other: Other, postgresql: Cluster, tmp_path: Path, catalogue: str
) -> None:
    assert engine
    second = engine_at(postgresql, tmp_path, catalogue, "statement=3s&attempt=2s")
    other.hold(TABLES)
    starting = asyncio.ensure_future(refused(second.start()))
    await other.waited_for(starting)
    with still(postgresql):
        error = await starting
    other.let_go()
    assert (type(error), error.retryable, error.outcome) == (Unavailable, True, "not_applied")
    await second.start()
    await second.stop()
