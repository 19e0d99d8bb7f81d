"""What the engine does on a real Cassandra beyond the port."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.cassandra import CassandraRecords, Link
from soundstage.engines.records.port import ALL, Batch, Budget, TableSpec

pytestmark = pytest.mark.slow

NAME = "engine/items"
DAY_US = 86_400_000_000


def now_us() -> int:
    return time.time_ns() // 1_000


def put(key: bytes) -> Batch:
    return Batch(cells=[(key, version.put(now_us(), "token", b"value"))])


@pytest.fixture
def space() -> str:
    return f"engine-{time.time_ns()}"


@pytest.fixture
async def engine(link: Link, space: str) -> AsyncIterator[CassandraRecords]:
    opened = CassandraRecords(link, SystemEnvironment(), space)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.mark.parametrize("conditional", [False, True])
async def test_rows_of_a_dropped_table_are_erased_by_the_sweeper(engine: CassandraRecords, conditional: bool) -> None:
    await engine.create_table(TableSpec(name=NAME, conditional=conditional))
    ahead = Batch(cells=[(b"key", version.put(now_us() + DAY_US, "token", b"of a clock that is ahead"))])
    for number in range(20):
        await engine.apply(NAME, b"record-%d" % number, ahead if number % 2 else put(b"key"))
    table = await engine.parts.catalogue.table(NAME)
    await engine.drop_table(NAME)
    await engine.sweep(100)
    await engine.sweep(100)
    left = await engine.parts.walker.rows(table, table.statements.survey, -(1 << 63), (1 << 63) - 1, 100)
    assert (left.rows, await engine.parts.catalogue.dropped()) == ([], None)


async def test_a_table_of_its_own_is_one_in_cassandra_and_goes_as_one(engine: CassandraRecords, link: Link) -> None:
    await engine.create_table(TableSpec(name=NAME, dedicated=True))
    number = (await engine.parts.catalogue.table(NAME)).number
    tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'suite'"
    made = {row[0] for row in link.session.execute(tables)}
    await engine.drop_table(NAME)
    left = {row[0] for row in link.session.execute(tables)}
    assert made - left == {f"rows_{number}"}


async def test_what_another_engine_changed_is_seen(engine: CassandraRecords, link: Link, space: str) -> None:
    other = CassandraRecords(link, SystemEnvironment(), space)
    await other.start()
    await other.create_table(TableSpec(name=NAME))
    await engine.apply(NAME, b"record", put(b"key"))
    page = await other.read(NAME, b"record", ALL, Budget(), now_us())
    await other.stop()
    assert [key for key, _ in page.rows] == [b"key"]


async def test_engines_of_other_spaces_see_nothing(engine: CassandraRecords, link: Link, space: str) -> None:
    await engine.create_table(TableSpec(name=NAME))
    other = CassandraRecords(link, SystemEnvironment(), f"{space}.other")
    await other.start()
    assert await other.tables() == []
    await other.stop()


async def test_an_older_paxos_is_refused_with_advice(
    engine: CassandraRecords, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "settings", link.settings._replace(paxos="v1"))
    with pytest.raises(InvalidArgument) as refused:
        await engine.create_table(TableSpec(name=NAME, conditional=True))
    assert "paxos_variant: v2" in str(refused.value.hint)


async def test_tombstones_outlive_the_oldest_write(engine: CassandraRecords, link: Link) -> None:
    await engine.create_table(TableSpec(name=NAME, dedicated=True))
    number = (await engine.parts.catalogue.table(NAME)).number
    thirty_days_us = 30 * 86_400_000_000
    await engine.create_table(TableSpec(name=NAME, dedicated=True, max_lag_us=thirty_days_us))
    grace = "SELECT gc_grace_seconds, read_repair FROM system_schema.tables WHERE keyspace_name = 'suite' "
    row = link.session.execute(f"{grace}AND table_name = 'rows_{number}'").one()
    assert row == (30 * 86_400 + 3_660, "BLOCKING")


async def test_what_the_cluster_says_of_itself_is_told(engine: CassandraRecords, link: Link) -> None:
    history = "system_distributed.repair_history (keyspace_name, columnfamily_name, id, status, finished_at)"
    for table in ("rows", "paxos"):
        link.session.execute(
            f"INSERT INTO {history} VALUES ('suite', '{table}', now(), 'SUCCESS', toTimestamp(now())) USING TTL 60"
        )
    await engine.create_table(TableSpec(name=NAME))
    await engine.apply(NAME, b"record", put(b"key"))
    await engine.read(NAME, b"record", ALL, Budget(), now_us())
    await engine.sweep(1)
    found = {each.name: each.value for each in engine.measurements()}
    assert (found["cassandra_nodes"], found["cassandra_nodes_up"]) == (1, 1)
    assert found["cassandra_tombstones_per_read"] >= 0
    assert 0 <= found["cassandra_repair_age_seconds"] < 60
    assert (engine.lost, engine.warning) == (None, None)
