"""100,000 real ratings as a columnar table: partitions by month, a branch that is looked at first, a month replaced."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from soundstage.core.environment import SystemEnvironment
from soundstage.core.extras import library
from soundstage.datasets import fetch
from soundstage.datasets.movielens import Rating, ratings
from soundstage.engines.tables.filters import at_most, equal
from soundstage.engines.tables.iceberg import IcebergTables, embedded_address
from soundstage.engines.tables.port import At, Column, PartitionField, TableSpec

pa: Any = library("pyarrow", "tables")

NAME = "films.ratings"
SPEC = TableSpec(
    name=NAME,
    columns=(
        Column(name="user", type="int64", required=True),
        Column(name="film", type="int64", required=True),
        Column(name="stars", type="int32", required=True),
        Column(name="at", type="instant", required=True),
    ),
    partitions=(PartitionField(column="at", by="month"),),
)
BATCH = 10_000


def columns(found: Iterable[Rating]) -> Any:
    """Ratings as a stream of Arrow, some thousands at a time."""
    schema = pa.schema(
        [
            ("user", pa.int64()),
            ("film", pa.int64()),
            ("stars", pa.int32()),
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )

    def batches() -> Iterator[Any]:
        rows: list[tuple[int, int, int, int]] = []
        for rating in found:
            rows.append((rating.user_id, rating.film_id, rating.stars, rating.rated_at // 1_000))
            if len(rows) == BATCH:
                yield batch(rows)
                rows = []
        if rows:
            yield batch(rows)

    def batch(rows: list[tuple[int, int, int, int]]) -> Any:
        return pa.record_batch([list(values) for values in zip(*rows, strict=True)], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


async def count(batches: AsyncIterable[Any]) -> int:
    """How many rows a scan gives."""
    return sum([batch.num_rows async for batch in batches])


async def mean(batches: AsyncIterable[Any]) -> float:
    """The mean of the stars that a scan gives."""
    stars = [star async for batch in batches for star in batch.column("stars").to_pylist()]
    return sum(stars) / len(stars)


async def main() -> None:
    """Loads, cleans on a branch, publishes, looks back."""
    with tempfile.TemporaryDirectory() as folder:
        tables = IcebergTables(embedded_address("tables", folder, {}), SystemEnvironment())
        await tables.start()
        await tables.create(SPEC)
        loaded = await tables.append(NAME, columns(ratings(fetch("movielens-100k"))), summary={"from": "MovieLens"})
        print(f"{loaded.rows} ratings, with {await mean(tables.scan(NAME, columns=['stars'])):.2f} stars in the mean")
        star_wars = await count(tables.scan(NAME, equal("film", 50), columns=["film"]))
        print(f"{star_wars} of them are of Star Wars")
        early = datetime(1997, 9, 30, 23, 59, 59, tzinfo=UTC)
        print(f"{await count(tables.scan(NAME, at_most('at', early)))} were made by September of 1997")

        await tables.point(NAME, "checked", loaded.id)
        await tables.delete(NAME, at_most("stars", 1), branch="checked")
        kept = await mean(tables.scan(NAME, columns=["stars"], at=At(branch="checked")))
        print(f"without those of one star the mean is {kept:.2f}, on a branch")
        head = (await tables.info(NAME)).branches["checked"]
        await tables.point(NAME, "main", head, expect=loaded.id)
        print(f"published: {await count(tables.scan(NAME))} ratings")
        print(f"as it was: {await count(tables.scan(NAME, at=At(snapshot=loaded.id)))}")
        await tables.stop()


if __name__ == "__main__":
    asyncio.run(main())
