"""How much does the tables port cost over bare pyiceberg? Appends and scans of the same rows in the same files.

The rival appends a table of Arrow and reads it back as a stream of batches, with nothing in between: no check of what
comes in, no turn to take, no bound on what is read ahead. Both have a catalogue of SQLite on the same disk, their files
have the same size, and their turns alternate.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from benchmarks.report import Figure, figure, options, show, turns
from soundstage.core.environment import SystemEnvironment
from soundstage.core.extras import library
from soundstage.engines.tables.filters import at_least
from soundstage.engines.tables.iceberg import IcebergTables, embedded_address
from soundstage.engines.tables.port import Column, TableSpec

pa: Any = library("pyarrow", "tables")
sql: Any = library("pyiceberg.catalog.sql", "tables")

COLUMNS = (
    Column(name="user", type="int64"),
    Column(name="film", type="int32"),
    Column(name="stars", type="float64"),
    Column(name="title", type="text"),
)
SPEC = TableSpec(name="bench.ratings", columns=COLUMNS)
TARGET = 0.9


class Scale(msgspec.Struct, frozen=True):
    """How much is done: rows of one append; a scan reads `appends` of them."""

    rounds: int
    rows: int
    appends: int


FULL = Scale(rounds=7, rows=400_000, appends=8)
QUICK = Scale(rounds=3, rows=200_000, appends=4)


def ratings(rows: int) -> Any:
    """Rows that look like ratings."""
    users = [(number * 7_919) % 100_003 for number in range(rows)]
    return pa.table(
        {
            "user": pa.array(users, pa.int64()),
            "film": pa.array([user % 1_682 for user in users], pa.int32()),
            "stars": pa.array([1.0 + user % 9 / 2 for user in users], pa.float64()),
            "title": pa.array([f"film {user % 1_682}" for user in users], pa.string()),
        }
    )


class Ours:
    """The tables port."""

    def __init__(self, engine: IcebergTables, data: Any, scale: Scale) -> None:
        self._engine = engine
        self._data = data
        self._scale = scale

    async def append(self) -> float:
        """Rows per second."""
        began = perf_counter()
        await self._engine.append("bench.appended", self._data)
        return self._scale.rows / (perf_counter() - began)

    async def scan(self) -> float:
        """Rows per second, of all columns."""
        return await self._read(0)

    async def filtered(self) -> float:
        """Rows per second, of those of one film in two."""
        return await self._read(841)

    async def _read(self, film: int) -> float:
        began = perf_counter()
        rows = 0
        scan = (
            self._engine.scan("bench.ratings", at_least("film", film)) if film else self._engine.scan("bench.ratings")
        )
        async for batch in scan:
            rows += batch.num_rows
        return rows / (perf_counter() - began)


class Rival:
    """pyiceberg, called from one thread of its own."""

    def __init__(self, catalogue: Any, data: Any, scale: Scale) -> None:
        self._catalogue = catalogue
        self._data = data
        self._scale = scale

    async def append(self) -> float:
        """Rows per second."""

        def work() -> None:
            self._catalogue.load_table("bench.appended").append(self._data)

        began = perf_counter()
        await asyncio.to_thread(work)
        return self._scale.rows / (perf_counter() - began)

    async def scan(self) -> float:
        """Rows per second, of all columns."""
        return await self._read("true")

    async def filtered(self) -> float:
        """Rows per second, of those of one film in two."""
        return await self._read("film >= 841")

    async def _read(self, where: str) -> float:
        def work() -> int:
            scan = self._catalogue.load_table("bench.ratings").scan(row_filter=where)
            return sum(batch.num_rows for batch in scan.to_arrow_batch_reader())

        began = perf_counter()
        rows = await asyncio.to_thread(work)
        return rows / (perf_counter() - began)


async def measured(folder: Path, scale: Scale) -> list[Figure]:
    """All figures, with everything below `folder`."""
    data = ratings(scale.rows)
    (folder / "ours").mkdir()
    engine = IcebergTables(embedded_address("bench", str(folder / "ours"), {}), SystemEnvironment())
    await engine.start()
    (folder / "bare").mkdir()
    catalogue = sql.SqlCatalog("bare", uri=f"sqlite:///{folder}/bare/catalogue.db", warehouse=f"file://{folder}/bare")
    catalogue.create_namespace("bench")
    for name, appends in (("bench.ratings", scale.appends), ("bench.appended", 0)):
        await engine.create(msgspec.structs.replace(SPEC, name=name))
        table = catalogue.create_table(name, data.schema)
        for _ in range(appends):
            await engine.append(name, data)
            table.append(data)
    ours, rival = Ours(engine, data, scale), Rival(catalogue, data, scale)
    figures: list[Figure] = []
    for name in ("append", "scan", "filtered"):
        mine, theirs = await turns(scale.rounds, getattr(ours, name), getattr(rival, name))
        figures.append(figure(f"tables_iceberg.{name}", mine, theirs, "rows/s", "higher", target=TARGET))
    catalogue.close()
    await engine.stop()
    return figures


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-", ignore_cleanup_errors=True) as folder:
        return asyncio.run(measured(Path(folder), scale))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("Iceberg tables, beside bare pyiceberg", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
