"""Disks that are full: of the catalogue on PostgreSQL, of the folder of the tables. Nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from tests.conformance.limits import file_limit
from tests.conformance.tables.conftest import address_at

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Exhausted, SoundstageError, Unavailable
from soundstage.engines.tables.iceberg import IcebergTables, embedded_address
from soundstage.servers import Cluster
from soundstage.testing.tables.samples import SPEC, film, ids, rows

pytestmark = pytest.mark.slow

WAL_FILE = 16 << 20
"""The log of the database is in files of this size, which have room."""

FILLER = """
INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location)
SELECT 'filler', 'filler', n::text, repeat('x', 100) FROM generate_series(1, 130000) AS n
"""
"""The table of the catalogue becomes larger than such a file."""

ENOUGH = 60
"""Changes, of which the last page of the table takes fewer."""


def files(folder: Path) -> int:
    return len(list(folder.rglob("*.parquet")))


async def appended_until_refused(engine: IcebergTables) -> tuple[list[int], SoundstageError]:
    """The ids of the films that were acknowledged, and why the next was not."""
    acknowledged: list[int] = []
    for number in range(ENOUGH):
        try:
            await engine.append("films", rows(film(number)))
        except SoundstageError as error:
            return acknowledged, error
        acknowledged.append(number)
    raise AssertionError("there was room for everything")


async def test_a_catalogue_without_room_is_exhausted_and_has_what_it_acknowledged(tmp_path: Path) -> None:
    with Cluster("postgresql") as full, psycopg.connect(full.url, autocommit=True) as filling:
        engine = IcebergTables(address_at(full.url, tmp_path, "full"), SystemEnvironment(), durable=False)
        await engine.start()
        await engine.create(SPEC)
        filling.execute(FILLER)
        found: Any = filling.execute("SELECT pg_relation_size('iceberg_tables')").fetchone()
        size = int(found[0])
        assert size > WAL_FILE
        process = full.servers[0].pid
        assert process is not None
        # While somebody looks at the past, rows that were replaced stay, and take up room.
        with psycopg.connect(full.url) as looking, file_limit(process, size + 4_096):
            looking.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            looking.execute("SELECT 1 FROM iceberg_tables LIMIT 1")
            acknowledged, error = await appended_until_refused(engine)
            assert (type(error), error.retryable, error.outcome) == (Exhausted, True, "not_applied")
            assert "no room" in str(error)
            assert (await ids(engine), files(tmp_path)) == (acknowledged, len(acknowledged))
        await engine.append("films", rows(film(ENOUGH)))
        assert await ids(engine) == [*acknowledged, ENOUGH]
        await engine.stop()


async def test_a_folder_without_room_is_unavailable_and_has_what_it_acknowledged(tmp_path: Path) -> None:
    engine = IcebergTables(embedded_address("suite", str(tmp_path), {}), SystemEnvironment())
    await engine.start()
    await engine.create(SPEC)
    await engine.append("films", rows(film(1)))
    many = pa.table({"id": pa.array(range(200_000), pa.int64())})
    with file_limit(0, 100_000), pytest.raises(SoundstageError) as refused:
        await engine.append("films", many)
    assert (type(refused.value), refused.value.retryable, refused.value.outcome) == (Unavailable, True, "not_applied")
    assert "disk" in str(refused.value)
    assert (await ids(engine), files(tmp_path)) == ([1], 1)
    await engine.append("films", many)
    assert sum([batch.num_rows async for batch in engine.scan("films")]) == 200_001
    await engine.stop()
