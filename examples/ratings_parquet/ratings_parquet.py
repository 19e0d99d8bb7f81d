"""Real ratings from a file of Parquet into a store, changed there, and out again for a question in SQL."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from soundstage import Stage
from soundstage.core.extras import library
from soundstage.data.kv import KeyValue, MatchAll, Predicate
from soundstage.datasets import fetch
from soundstage.datasets.movielens import Rating, ratings
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

BEST = """
    SELECT decode(key) AS film, count(*) AS votes, round(avg(decode(value)::INTEGER), 2) AS stars
    FROM read_parquet(?) GROUP BY film HAVING votes >= 100 ORDER BY stars DESC, film LIMIT 3
"""


def write(found: Iterable[Rating], path: Path) -> None:
    """The ratings as any program might leave them: a person's id, a film's number, and stars."""
    pa: Any = library("pyarrow", "tables")
    rows = [(rating.user_id, rating.film_id, rating.stars) for rating in found]
    table = pa.table([list(column) for column in zip(*rows, strict=True)], names=["id", "key", "value"])
    library("pyarrow.parquet", "tables").write_table(table, path)


def best(path: Path) -> list[tuple[str, int, float]]:
    """The three best films of an exported file, by duckdb."""
    return duckdb.execute(BEST, [str(path)]).fetchall()


async def main() -> None:
    """Imports, forgets one person, exports, asks, and shows that an import of that file changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "source.parquet"), Path(folder, "ratings.parquet")
        write(ratings(fetch("movielens-100k")), source)
        async with Stage.open(data=f"{folder}/stage") as stage:
            for name in ("ratings", "again"):
                await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv"))
            store, again = stage.client(KeyValue, "ratings"), stage.client(KeyValue, "again")
            put = await (await store.import_parquet(file=await stage.files.upload(source))).result()
            print(f"{put.items} ratings are in")
            await store.delete_items(id="405", predicate=Predicate(match_all=MatchAll()))
            exported = await (await store.export_parquet()).result()
            await stage.files.download(exported.file, result)
            print(f"{exported.items} ratings of {exported.records} people are out")
            for film, votes, stars in best(result):
                print(f"film {film}: {stars} stars by {votes} people")
            await (await again.import_parquet(file=exported.file)).result()
            first = (await store.get_items(id="1")).items
            print("with its versions" if (await again.get_items(id="1")).items == first else "as something else")


if __name__ == "__main__":
    asyncio.run(main())
