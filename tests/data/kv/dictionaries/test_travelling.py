"""Values that need a dictionary are read wherever they go: in exported namespaces, and files of Parquet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from tests.core.words import content_of_words, documents
from tests.data.kv.parquet.conftest import contents, exported, imported, make, plain
from tests.data.parquet.conftest import CONFIG, Stopping, content_of, over

from soundstage.core.compression import compress
from soundstage.core.dictionaries import Dictionary, codec_of_dictionary
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.core.time import Duration
from soundstage.data.kv.api import KeyValue, PutItem
from soundstage.data.kv.parquet import importing
from soundstage.data.kv.parquet.rows import DICTIONARIES
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

ZSTD = {"codecs": ["zstd"]}
VALUES = documents(3, seed=9)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage in memory that carries jobs out."""
    async with Stage.open(data="memory:", config=CONFIG, variables={}) as stage:
        yield stage


@pytest.fixture
async def films(stage: Stage) -> KeyValue:
    """A namespace with values that need a dictionary, which clients write with no more."""
    return await filled(stage)


async def filled(stage: Stage) -> KeyValue:
    films = await make(stage, "films", compression=ZSTD)
    items = [PutItem(key=b"%03d" % at, value=value) for at, value in enumerate(documents(200))]
    await films.put_items(id="samples", items=items)
    codec = (await (await films.train_dictionary(size=2_048)).result()).codec
    dictionary = Dictionary(codec, (await films.get_dictionary(codec=codec)).content)
    for number, value in enumerate(VALUES):
        frame = compress(codec, value, 3, dictionary)
        await films.put_items(id=f"film-{number}", items=[PutItem(key=b"k", value=frame, codec=codec)])
    await films.retire_dictionary()
    return films


async def shown(kv: KeyValue) -> list[bytes | None]:
    return [(await kv.get_items(id=f"film-{number}")).items[0].value for number in range(len(VALUES))]


async def states(kv: KeyValue) -> list[str]:
    return [each.state for each in (await kv.list_dictionaries()).dictionaries]


async def test_an_exported_namespace_has_its_dictionaries(stage: Stage, films: KeyValue) -> None:
    namespaces = stage.client(Namespaces)
    file = (await (await namespaces.export(name="films")).result()).file
    await (await namespaces.import_(name="again", file=file)).result()
    again = stage.client(KeyValue, "again")
    await namespaces.delete(name="films")
    assert (await shown(again), await states(again)) == (VALUES, ["retired"])


@pytest.mark.parametrize("knobs", [{}, {"compression": ZSTD}])
@pytest.mark.parametrize("versions", ["keep", "new"])
async def test_a_file_of_parquet_brings_them_along(
    stage: Stage, films: KeyValue, knobs: dict[str, Any], versions: Any
) -> None:
    file = (await exported(films)).file
    again = await make(stage, "again", **knobs)
    await imported(again, file, versions=versions)
    if versions == "keep":
        assert await contents(again) == await contents(films)
    assert await plain(again) == await plain(films)
    assert (await shown(again), await states(again)) == (VALUES, ["retired"])


async def test_it_has_none_where_no_value_needs_one(stage: Stage, films: KeyValue) -> None:
    other = await make(stage, "other")
    await other.put_items(id="1", items=[PutItem(key=b"k", value=b"v")])
    found = pq.read_metadata(BytesIO(await content_of(stage, (await exported(other)).file)))
    assert DICTIONARIES not in found.metadata


async def altered(stage: Stage, films: KeyValue, dictionaries: bytes | None, without: tuple[str, ...] = ()) -> Any:
    """The file of the namespace with other dictionaries, or none, and `without` some of its columns."""
    table = pq.read_table(BytesIO(await content_of(stage, (await exported(films)).file)))
    said = {} if dictionaries is None else {DICTIONARIES: dictionaries}
    sink = BytesIO()
    pq.write_table(table.replace_schema_metadata(said).drop_columns(["time", "token", "size", *without]), sink)
    return await stage.files.upload(sink.getvalue())


async def test_rows_may_need_those_that_the_namespace_has(stage: Stage, films: KeyValue) -> None:
    await imported(films, await altered(stage, films, None), versions="new")
    assert await shown(films) == VALUES


async def test_rows_that_need_one_that_nobody_has_are_refused(stage: Stage, films: KeyValue) -> None:
    file = await altered(stage, films, None)
    with pytest.raises(InvalidArgument, match="needs a dictionary"):
        await imported(await make(stage, "again"), file, versions="new")


@pytest.mark.parametrize("without", [(), ("codec",)])
async def test_rows_bring_those_alone_that_they_name(stage: Stage, films: KeyValue, without: tuple[str, ...]) -> None:
    (named,) = (await films.list_dictionaries()).dictionaries
    content, words = (await films.get_dictionary(codec=named.codec)).content, content_of_words()
    dictionaries = msgspec.msgpack.encode({named.codec: content, codec_of_dictionary(words): words})
    again = await make(stage, "again")
    await imported(again, await altered(stage, films, dictionaries, without), versions="new")
    assert [each.codec for each in (await again.list_dictionaries()).dictionaries] == ([] if without else [named.codec])


@pytest.mark.parametrize("forged", [b"", b"\xc1", msgspec.msgpack.encode({"zstd:0123456789ab": content_of_words()})])
async def test_one_that_is_not_what_its_name_says_is_refused(stage: Stage, films: KeyValue, forged: bytes) -> None:
    file = await altered(stage, films, forged)
    again = await make(stage, "again")
    with pytest.raises(InvalidArgument):
        await imported(again, file, versions="new")
    assert await states(again) == []


@pytest.mark.parametrize(
    ("table", "calls"), [("kv/again", 0), ("kv/again", 1), ("kv/again", 2), ("kv/again/values", 0)]
)
async def test_no_row_is_there_before_its_dictionary_wherever_an_import_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, calls: int
) -> None:
    monkeypatch.setattr(importing, "PIECE_ROWS", 1)
    monkeypatch.setattr("soundstage.data.parquet.files.STEP_ROWS", 1)
    monkeypatch.setattr("soundstage.data.parquet.files.BATCH_ROWS", 1)
    engine = Stopping(SystemEnvironment(), table)
    async with over(engine, tmp_path) as stage:
        file = (await exported(await filled(stage))).file
        again = await make(stage, "again")
        engine.left = calls
        job = await again.import_parquet(file=file, versions="new")
        await engine.stopped.wait()
        pages = [(await again.get_items(id=f"film-{number}")).items for number in range(len(VALUES))]
        found = [item.value for items in pages for item in items]
        assert found == VALUES[: len(found)]
    engine.left = None
    async with over(engine, tmp_path) as stage:
        outcome = await stage.client(Jobs).result(job_id=job.job_id, wait=Duration.parse("60s"))
        assert (outcome.state, outcome.error) == ("succeeded", None)
        again = stage.client(KeyValue, "again")
        assert (await shown(again), await states(again)) == (VALUES, ["retired"])
