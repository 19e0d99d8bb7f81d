"""Tables with their catalogue on a real PostgreSQL: what the suite says, from several processes' point of view."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.conformance.tables.conftest import address_at

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import PreconditionFailed, SoundstageError, Unauthenticated, Unavailable
from soundstage.engines.tables.filters import equal
from soundstage.engines.tables.iceberg import Address, IcebergTables
from soundstage.engines.tables.port import Snapshot, TableCapability, Tables
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.trial import try_engine
from soundstage.servers import Cluster
from soundstage.servers.ports import free_port
from soundstage.testing.tables import BranchingTablesSuite
from soundstage.testing.tables.samples import SPEC, film, ids, rows

pytestmark = pytest.mark.slow

WRITERS = 3
EACH = 4


def engine_on(address: Address) -> IcebergTables:
    return IcebergTables(address, SystemEnvironment(), durable=False)


@pytest.fixture
async def engine(shared: Address) -> AsyncIterator[IcebergTables]:
    made = engine_on(shared)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def other(shared: Address, engine: IcebergTables) -> AsyncIterator[IcebergTables]:
    """What another process has open of the same tables."""
    assert engine
    made = engine_on(shared)
    await made.start()
    yield made
    await made.stop()


class TestShared(BranchingTablesSuite):
    @pytest.fixture
    async def tables(self, engine: IcebergTables) -> Tables:
        return engine


def test_it_is_shared(shared: Address) -> None:
    assert TableCapability.SHARED in engine_on(shared).capabilities


async def test_writers_of_two_engines_all_get_their_turn(engine: IcebergTables, other: IcebergTables) -> None:
    await engine.create(SPEC)

    async def write(tables: IcebergTables, first: int) -> None:
        for number in range(EACH):
            await tables.append("films", rows(film(first + number)))

    await asyncio.gather(*(write((engine, other)[each % 2], 100 * each) for each in range(WRITERS)))
    wanted = [100 * each + number for each in range(WRITERS) for number in range(EACH)]
    assert (await ids(engine), await ids(other)) == (wanted, wanted)
    history = await engine.snapshots("films")
    assert len(history) == WRITERS * EACH
    assert [each.parent for each in history] == [*(each.id for each in history[1:]), 0]


async def test_of_two_engines_that_expect_the_same_one_wins(engine: IcebergTables, other: IcebergTables) -> None:
    await engine.create(SPEC)
    changes = [each.append("films", rows(film(number)), expect=0) for number, each in enumerate((engine, other))]
    made = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(type(each).__name__ for each in made) == ["PreconditionFailed", "Snapshot"]
    assert PreconditionFailed in {type(each) for each in made}
    assert Snapshot in {type(each) for each in made}


async def test_a_delete_beside_an_append_of_another_engine_loses_neither(
    engine: IcebergTables, other: IcebergTables
) -> None:
    await engine.create(SPEC)
    await engine.append("films", rows(film(1), film(2)))
    await asyncio.gather(engine.delete("films", equal("id", 1)), other.append("films", rows(film(3))))
    assert await ids(other) == [2, 3]


async def refused(work: object) -> SoundstageError:
    with pytest.raises(SoundstageError) as error:
        await work  # pyright: ignore[reportGeneralTypeIssues]
    return error.value


async def test_a_database_that_was_killed_is_unavailable_and_used_again_when_it_is_back(
    engine: IcebergTables, postgresql: Cluster
) -> None:
    await engine.create(SPEC)
    await engine.append("films", rows(film(1)))
    postgresql.servers[0].kill()
    try:
        failures = [await refused(each) for each in (engine.info("films"), engine.append("films", rows(film(2))))]
    finally:
        await asyncio.to_thread(postgresql.restart)
    assert [(type(each), each.retryable) for each in failures] == [(Unavailable, True)] * 2
    await engine.append("films", rows(film(3)))
    assert await ids(engine) == [1, 3]


async def test_a_database_that_hangs_is_unavailable_in_time_and_used_again_when_it_goes_on(
    postgresql: Cluster, tmp_path: Path, catalogue: str
) -> None:
    engine = engine_on(address_at(postgresql.url, tmp_path, catalogue, "attempt=2s"))
    await engine.start()
    await engine.create(SPEC)
    postgresql.servers[0].pause()
    began = time.monotonic()
    try:
        failures = await asyncio.gather(
            refused(engine.info("films")), refused(engine.append("films", rows(film(1)))), refused(ids(engine))
        )
    finally:
        postgresql.servers[0].resume()
    assert {(type(each), each.retryable, each.outcome) for each in failures} == {(Unavailable, True, "not_applied")}
    assert time.monotonic() - began < 8
    await engine.append("films", rows(film(2)))
    assert await ids(engine) == [2]
    await engine.stop()


async def test_a_refused_connection_fails_the_start_with_the_reason(tmp_path: Path) -> None:
    port = free_port(["127.0.0.1"], random.Random(), set())
    engine = engine_on(address_at(f"postgresql://postgres@127.0.0.1:{port}/postgres", tmp_path, "suite"))
    error = await refused(engine.start())
    assert (type(error), error.outcome, "refused" in str(error).lower()) == (Unavailable, "not_applied", True)
    await engine.stop()


async def test_a_password_comes_from_a_file_and_a_wrong_one_fails_the_start(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("postgres\n")
    wrong.write_text("a guess\n")
    with Cluster("postgresql", settings={"auth": "scram-sha-256"}) as guarded:
        engine = engine_on(address_at(guarded.url, tmp_path, "suite", password_file=str(right)))
        await engine.start()
        await engine.stop()
        engine = engine_on(address_at(guarded.url, tmp_path, "suite", password_file=str(wrong)))
        error = await refused(engine.start())
    assert (type(error), bool(error.hint), "a guess" in str(error)) == (Unauthenticated, True, False)


async def test_the_check_of_engines_tells_what_it_can(postgresql: Cluster, tmp_path: Path) -> None:
    config = EngineConfig(url=f"iceberg+{postgresql.url}?warehouse={tmp_path}&catalogue=checked")
    (trial,) = await try_engine(config, str(tmp_path), SystemEnvironment(), rounds=1)
    assert (trial.port, trial.problem, "shared" in trial.capabilities) == ("tables", "", True)
    assert "postgresql" in trial.version
