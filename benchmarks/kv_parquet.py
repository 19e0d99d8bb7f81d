"""What does a namespace cost as a file of Parquet? Export and import, beside pyarrow that writes the same rows.

The rival has all rows in memory, writes them with the same options and checks nothing. Ours reads them from a store,
puts them aside in parts that survive a crash, makes the file of these and reads it once to see that it is whole; an
import is as many writes as any others. So the figures say what that costs, and nothing is promised of them.
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
from soundstage.core.extras import library
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.api import KeyValue, PutItem
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage


class Scale(msgspec.Struct, frozen=True):
    """How much is done: records of 100 items of 100 bytes."""

    rounds: int
    records: int


FULL = Scale(rounds=3, records=3_000)
QUICK = Scale(rounds=3, records=500)
ITEMS = 100


async def fill(kv: KeyValue, scale: Scale) -> None:
    """The rows of the benchmark."""
    for number in range(scale.records):
        items = [PutItem(key=b"%04d" % key, value=b"%09d." % (number * key) * 10) for key in range(ITEMS)]
        await kv.put_items(id=f"record-{number}", items=items)


def measure(scale: Scale) -> list[Figure]:
    """Rows per second of each side."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(scale, Path(folder)))


async def _measure(scale: Scale, folder: Path) -> list[Figure]:
    rows = scale.records * ITEMS
    pq: Any = library("pyarrow.parquet", "tables")
    config = {"jobs": {"poll_interval": "10ms"}, "engines": {"default": {"durability": "os"}}}
    async with Stage.open(data=folder / "stage", config=config, variables={}) as stage:
        namespaces = stage.client(Namespaces)
        await namespaces.put(namespace=NamespaceSpec(name="rows", abstraction="kv"))
        kv = stage.client(KeyValue, "rows")
        await fill(kv, scale)
        file = (await (await kv.export_parquet()).result()).file
        await stage.files.download(file, folder / "rows.parquet")
        table = pq.read_table(folder / "rows.parquet")

        async def export() -> float:
            began = perf_counter()
            await (await kv.export_parquet()).result()
            return rows / (perf_counter() - began)

        async def write() -> float:
            began = perf_counter()
            await asyncio.to_thread(pq.write_table, table, folder / "rival.parquet", compression="zstd")
            return rows / (perf_counter() - began)

        async def bring() -> float:
            again = NamespaceSpec(name="again", abstraction="kv")
            await namespaces.put(namespace=again)
            began = perf_counter()
            await (await stage.client(KeyValue, "again").import_parquet(file=file)).result()
            took = perf_counter() - began
            await namespaces.delete(name="again")
            return rows / took

        exported, written, brought = await turns(scale.rounds, export, write, bring)
    return [
        figure("kv_parquet.export", exported, written, "rows/s", "higher", note="pyarrow writes them from memory"),
        figure("kv_parquet.import", brought, None, "rows/s", "higher", note="versions kept"),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    scale = QUICK if options(__doc__ or "", arguments).quick else FULL
    show(f"{scale.records * ITEMS} rows of 100 bytes, embedded", measure(scale))


if __name__ == "__main__":
    main()
