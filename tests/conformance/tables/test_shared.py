"""Tables with their catalogue on a real PostgreSQL: what the suite says, from several processes' point of view."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from tests.conformance.calls import refused
from tests.conformance.passwords import let_in_by_variable
from tests.conformance.pauses import paused
from tests.conformance.tables.conftest import address_at

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import (
    Exhausted,
    Forbidden,
    PreconditionFailed,
    SoundstageError,
    Unauthenticated,
    Unavailable,
)
from soundstage.engines.tables.filters import equal
from soundstage.engines.tables.iceberg import Address, IcebergTables
from soundstage.engines.tables.port import Snapshot, TableCapability, Tables
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.stage import Stage
from soundstage.runtime.trial import try_engine
from soundstage.servers import Cluster
from soundstage.servers.ports import free_port
from soundstage.testing.servers import server_fixture
from soundstage.testing.tables import BranchingTablesSuite
from soundstage.testing.tables.samples import BY_GENRE, SPEC, film, ids, rows

pytestmark = pytest.mark.slow

WRITERS = 3
EACH = 4

guarded: Callable[[], Generator[Cluster]] = server_fixture(
    "postgresql", scope="module", settings={"auth": "scram-sha-256"}
)


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


async def test_of_changes_amid_which_the_database_is_killed_none_is_lost_that_was_acknowledged(
    engine: IcebergTables, other: IcebergTables, postgresql: Cluster
) -> None:
    await engine.create(SPEC)
    acknowledged: list[int] = []
    failures: list[SoundstageError] = []
    enough, over = asyncio.Event(), asyncio.Event()

    async def write(tables: IcebergTables, number: int) -> None:
        while not over.is_set():
            try:
                await tables.append("films", rows(film(number)))
            except SoundstageError as error:
                failures.append(error)
                over.set()
            else:
                acknowledged.append(number)
                enough.set()
            number += 1

    writers = [asyncio.create_task(write(each, 1_000 * at)) for at, each in enumerate((engine, other))]
    await enough.wait()
    postgresql.servers[0].kill()
    try:
        await asyncio.gather(*writers)
    finally:
        await asyncio.to_thread(postgresql.restart)
    assert failures
    assert {(type(each), each.retryable) for each in failures} == {(Unavailable, True)}
    await engine.append("films", rows(film(9_999)))
    assert {*acknowledged, 9_999} <= set(await ids(other))


async def test_a_database_that_hangs_is_unavailable_in_time_and_used_again_when_it_goes_on(
    postgresql: Cluster, tmp_path: Path, catalogue: str
) -> None:
    engine = engine_on(address_at(postgresql.url, tmp_path, catalogue, "attempt=2s"))
    await engine.start()
    await engine.create(SPEC)
    async with paused(*postgresql.servers):
        began = time.monotonic()
        failures = await asyncio.gather(
            refused(engine.info("films")), refused(engine.append("films", rows(film(1)))), refused(ids(engine))
        )
        took_s = time.monotonic() - began
    assert {(type(each), each.retryable, each.outcome) for each in failures} == {(Unavailable, True, "not_applied")}
    assert "did not answer" in (engine.warning or "")
    assert took_s < 8
    await engine.append("films", rows(film(2)))
    assert await ids(engine) == [2]
    assert engine.warning is None
    await engine.stop()


async def test_a_refused_connection_fails_the_start_with_the_reason(tmp_path: Path) -> None:
    port = free_port(["127.0.0.1"], random.Random(), set())
    engine = engine_on(address_at(f"postgresql://postgres@127.0.0.1:{port}/postgres", tmp_path, "suite"))
    error = await refused(engine.start())
    assert (type(error), error.outcome, "refused" in str(error).lower()) == (Unavailable, "not_applied", True)
    await engine.stop()


async def test_a_stage_that_starts_before_its_database_waits_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Cluster("postgresql") as late:
        late.servers[0].kill()
        url = f"iceberg+{late.url}?warehouse={tmp_path}/tables"
        engines = {"tables": {"url": url, "start_within": "100s"}}
        stage = Stage.open(config={"engines": engines}, data=str(tmp_path / "data"), variables={}, background=False)
        starting = asyncio.ensure_future(stage.start())
        while "the engine tables is waited for" not in caplog.text:
            assert not starting.done()
            await asyncio.sleep(0.02)
        late.servers[0].start()
        await starting
        assert await stage.tables("tables").tables() == []
        await stage.stop()


async def test_a_password_comes_from_a_file_and_a_wrong_one_fails_the_start(guarded: Cluster, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("postgres\n")
    wrong.write_text("a guess\n")
    engine = engine_on(address_at(guarded.url, tmp_path, "suite", password_file=str(right)))
    await engine.start()
    await engine.stop()
    engine = engine_on(address_at(guarded.url, tmp_path, "suite", password_file=str(wrong)))
    error = await refused(engine.start())
    assert (type(error), bool(error.hint), "a guess" in str(error)) == (Unauthenticated, True, False)


async def test_a_password_in_a_variable_lets_in_and_a_wrong_one_does_not(
    guarded: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EngineConfig(url=f"iceberg+{guarded.url}?warehouse={tmp_path}&catalogue=variable")
    await let_in_by_variable(monkeypatch, config, "postgres")


async def test_the_check_of_engines_tells_what_it_can(postgresql: Cluster, tmp_path: Path) -> None:
    config = EngineConfig(url=f"iceberg+{postgresql.url}?warehouse={tmp_path}&catalogue=checked")
    (trial,) = await try_engine(config, str(tmp_path), SystemEnvironment(), rounds=1)
    assert (trial.port, trial.problem, "shared" in trial.capabilities) == ("tables", "", True)
    assert "postgresql" in trial.version


def written(folder: Path) -> int:
    """How many files of rows there are."""
    return len(list(folder.rglob("*.parquet")))


async def test_tables_are_kept_in_order_with_their_catalogue_on_postgresql(
    engine: IcebergTables, other: IcebergTables, tmp_path: Path
) -> None:
    await engine.create(SPEC)
    for number in range(4):
        await (engine, other)[number % 2].append("films", rows(film(number)))
    snapshot = await engine.compact("films")
    assert snapshot is not None
    assert (snapshot.change, snapshot.rows, await ids(other)) == ("compact", 4, [0, 1, 2, 3])
    assert await other.compact("films") is None
    now_us = time.time_ns() // 1_000
    assert await other.expire("films", now_us + 1_000_000) == 4
    assert len(await engine.snapshots("films")) == 1
    assert await engine.clean("films", now_us + 60_000_000) >= 4
    assert (written(tmp_path), await ids(engine), await ids(other)) == (1, *[[0, 1, 2, 3]] * 2)


async def test_while_two_engines_overwrite_upkeep_loses_nothing_and_leaves_no_files(
    engine: IcebergTables, other: IcebergTables, tmp_path: Path
) -> None:
    await engine.create(BY_GENRE)
    over = asyncio.Event()

    async def write(tables: IcebergTables, genre: str) -> int:
        number = 0
        while not over.is_set():
            await tables.append("films", rows(film(number, genre)))
            await tables.overwrite("films", rows(film(number + 1, genre)))
            number += 1
        return number

    async def keep(tables: IcebergTables) -> None:
        for _ in range(3):
            with suppress(Exhausted):
                await tables.compact("films")
            await tables.expire("films", time.time_ns() // 1_000)
        over.set()

    drama, crime, _ = await asyncio.gather(write(engine, "drama"), write(other, "crime"), keep(engine))
    expected = sorted([drama] * (drama > 0) + [crime] * (crime > 0))
    assert await ids(engine) == expected == await ids(other)
    head = (await engine.info("films")).branches["main"]
    await engine.expire("films", time.time_ns() // 1_000 + 1_000_000)
    needed = [each async for each in other.scan("films")]
    # Files that snapshots had are of no use any more; of those that were written for nothing there were none to find.
    await engine.clean("films", time.time_ns() // 1_000 + 60_000_000)
    assert (await engine.info("films")).branches["main"] == head
    assert written(tmp_path) == len(needed)


async def test_a_database_that_stands_still_for_a_while_amid_changes_loses_none(
    engine: IcebergTables, other: IcebergTables, postgresql: Cluster, tmp_path: Path
) -> None:
    await engine.create(SPEC)
    hasty = engine_on(address_at(postgresql.url, tmp_path, engine._address.options.catalogue, "attempt=2s"))
    await hasty.start()
    acknowledged: list[int] = []
    failures: list[SoundstageError] = []
    enough = asyncio.Event()

    async def write(tables: IcebergTables, first: int) -> None:
        for number in range(first, first + EACH):
            try:
                await tables.append("films", rows(film(number)))
            except SoundstageError as error:
                failures.append(error)
            else:
                acknowledged.append(number)
            enough.set()

    writers = [asyncio.create_task(write(each, 100 * at)) for at, each in enumerate((engine, other))]
    await enough.wait()
    postgresql.servers[0].pause()
    try:
        error = await refused(hasty.info("films"))
    finally:
        postgresql.servers[0].resume()
    await asyncio.gather(*writers)
    await hasty.stop()
    assert (type(error), error.retryable) == (Unavailable, True)
    assert set(acknowledged) <= set(await ids(engine))
    assert all(type(each) is Unavailable and each.retryable for each in failures)


async def test_a_role_without_rights_is_forbidden(postgresql: Cluster, tmp_path: Path, engine: IcebergTables) -> None:
    await engine.create(SPEC)
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS looker")
        connection.execute("CREATE ROLE looker LOGIN")
        connection.execute("GRANT SELECT ON iceberg_tables, iceberg_namespace_properties TO looker")
    looker = engine_on(
        address_at(postgresql.url.replace("postgres@", "looker@"), tmp_path, engine._address.options.catalogue)
    )
    await looker.start()
    assert (await looker.info("films")).spec == SPEC
    error = await refused(looker.append("films", rows(film(1))))
    assert (type(error), error.retryable) == (Forbidden, False)
    await looker.stop()


async def test_a_database_that_there_is_not_fails_the_start_at_once(postgresql: Cluster, tmp_path: Path) -> None:
    engine = engine_on(address_at(postgresql.url.replace("/postgres", "/nowhere"), tmp_path, "suite"))
    error = await refused(engine.start())
    assert (type(error), error.retryable, "nowhere" in str(error)) == (Unavailable, False, True)
    await engine.stop()
