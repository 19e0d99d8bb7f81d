"""The parts of the example of Parquet, on a few ratings in memory."""

from __future__ import annotations

from pathlib import Path

from examples.ratings_parquet.ratings_parquet import best, write

from soundstage import Instant, Stage
from soundstage.data.kv import KeyValue
from soundstage.datasets.movielens import Rating
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec


async def test_what_was_written_is_imported_exported_and_asked_about(tmp_path: Path) -> None:
    found = [Rating(user, film, 3 + film, Instant(0)) for user in range(120) for film in (1, 2)]
    write(found, tmp_path / "in.parquet")
    async with Stage.open(data="memory:") as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="ratings", abstraction="kv"))
        store = stage.client(KeyValue, "ratings")
        await (await store.import_parquet(file=await stage.files.upload(tmp_path / "in.parquet"))).result()
        exported = await (await store.export_parquet()).result()
        await stage.files.download(exported.file, tmp_path / "out.parquet")
    assert best(tmp_path / "out.parquet") == [("2", 120, 5.0), ("1", 120, 4.0)]
