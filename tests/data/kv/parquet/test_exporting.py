"""What an export leaves: read by other programs, with bounds on memory, going on where it was stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars
import pyarrow.parquet as pq
import pytest
from tests.data.kv.parquet.conftest import contents, exported, fill, make
from tests.data.parquet.conftest import Stopping, content_of, over

from soundstage.core.call import Principal
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Forbidden, NotFound, TooLarge
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.time import Duration
from soundstage.data.kv.api import KeyValue, MatchAll, MatchKeys, Predicate, PutItem
from soundstage.data.kv.parquet import exporting
from soundstage.data.kv.parquet.rows import schema
from soundstage.data.parquet.footers import MARK, Footer
from soundstage.engines.records.port import Budget
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.stage import Stage

MIB = 1 << 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def table_of(stage: Stage, kv: KeyValue, **given: Any) -> Any:
    return pq.read_table(BytesIO(await content_of(stage, (await exported(kv, **given)).file)))


async def test_every_item_is_a_row_with_its_version(stage: Stage, films: KeyValue) -> None:
    now_us = stage.environment.now_us()
    token = IdempotencyToken(Instant.from_us(now_us), "a-token")
    put = PutItem(key=b"\xff\0", value=b"\x80\0", ttl=Duration.parse("1d"))
    await films.put_items(id="Ø", items=[put], idempotency_token=token)
    assert (await table_of(stage, films)).to_pylist() == [
        {
            "id": "Ø",
            "key": b"\xff\0",
            "value": b"\x80\0",
            "token": "a-token",
            "time": EPOCH + timedelta(microseconds=now_us),
            "expires_at": EPOCH + timedelta(days=1, microseconds=now_us),
            "size": 2,
            "codec": None,
        }
    ]


async def test_it_is_told_how_much_is_in_the_file(stage: Stage, films: KeyValue) -> None:
    await fill(films, 20)
    found = await exported(films)
    assert (found.namespace, found.records, found.items, found.left_out) == ("films", 20, 60, 0)
    assert found.bytes == 60 * 4
    assert (found.file.name, found.file.media_type) == ("films.parquet", "application/vnd.apache.parquet")


async def test_duckdb_reads_it(stage: Stage, films: KeyValue, tmp_path: Path) -> None:
    await fill(films, 4)
    await stage.files.download((await exported(films)).file, path := tmp_path / "films.parquet")
    found: Any = duckdb.sql(f"SELECT count(*), count(DISTINCT id), sum(size), min(octet_length(value)) FROM '{path}'")
    assert found.fetchall() == [(12, 4, 24, 2)]


async def test_polars_reads_it(stage: Stage, films: KeyValue) -> None:
    await fill(films, 4)
    frame = polars.read_parquet(BytesIO(await content_of(stage, (await exported(films)).file)))
    assert frame.schema["key"] == polars.Binary
    assert sorted(set(frame["value"])) == [b"\x000", b"\x001", b"\x002"]


async def test_an_empty_namespace_is_a_file_without_rows(stage: Stage, films: KeyValue) -> None:
    found = await table_of(stage, films)
    assert (found.num_rows, found.schema.names) == (0, schema().names)


async def test_what_was_deleted_has_expired_or_was_truncated_is_not_in_it(stage: Stage, films: KeyValue) -> None:
    await fill(films, 3)
    await films.truncate(confirm="films")
    await fill(films, 3)
    old = IdempotencyToken(Instant.from_us(stage.environment.now_us() - 60_000_000), "old")
    await films.put_items(
        id="gone", items=[PutItem(key=b"k", value=b"", ttl=Duration.parse("1s"))], idempotency_token=old
    )
    await films.delete_items(id="film-0", predicate=Predicate(match_all=MatchAll()))
    await films.delete_items(id="film-1", predicate=Predicate(match_keys=MatchKeys(keys=[b"1\xff"])))
    found = await table_of(stage, films)
    assert sorted(zip(found["id"].to_pylist(), found["key"].to_pylist(), strict=True)) == [
        ("film-1", b"0\xff"),
        ("film-1", b"2\xff"),
        ("film-2", b"0\xff"),
        ("film-2", b"1\xff"),
        ("film-2", b"2\xff"),
    ]


async def test_values_in_chunks_are_in_it_whole(stage: Stage, films: KeyValue) -> None:
    values = {b"%d" % number: bytes([number]) * (2 * MIB) for number in range(3)}
    for key, value in values.items():
        await films.put_items(
            id="clips", items=[PutItem(key=key, value=value), PutItem(key=key + b"/note", value=b"n")]
        )
    found = await table_of(stage, films)
    rows = dict(zip(found["key"].to_pylist(), found["value"].to_pylist(), strict=True))
    assert rows == values | {key + b"/note": b"n" for key in values}
    assert max(found["size"].to_pylist()) == 2 * MIB


async def test_a_row_group_holds_little_more_than_its_bound(
    stage: Stage, films: KeyValue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "GROUP_BYTES", 3 * MIB)
    for number in range(9):
        await films.put_items(id="clips", items=[PutItem(key=b"%d" % number, value=bytes(2 * MIB))])
    metadata = pq.read_metadata(BytesIO(await content_of(stage, (await exported(films)).file)))
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [2, 2, 2, 2, 1]


async def test_rows_between_values_in_chunks_keep_their_places(
    stage: Stage, films: KeyValue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "GROUP_BYTES", 2 * MIB)
    values = {b"%02d" % number: bytes([number]) * (2 * MIB if number % 3 == 0 else number) for number in range(12)}
    for key, value in values.items():
        await films.put_items(id="clips", items=[PutItem(key=key, value=value)])
    found = await table_of(stage, films)
    assert dict(zip(found["key"].to_pylist(), found["value"].to_pylist(), strict=True)) == values


async def test_larger_values_are_left_out_where_that_is_asked_for(stage: Stage, films: KeyValue) -> None:
    puts = [
        PutItem(key=b"1", value=b"12345"),
        PutItem(key=b"2", value=b"123456"),
        PutItem(key=b"3", value=bytes(2 * MIB)),
    ]
    await films.put_items(id="x", items=puts)
    found = await table_of(stage, films, max_value_bytes=5)
    assert found["value"].to_pylist() == [b"12345", None, None]
    assert found["size"].to_pylist() == [5, 6, 2 * MIB]
    assert (await exported(films, max_value_bytes=5)).left_out == 2


async def test_a_value_that_no_row_takes_is_refused_by_its_name(
    films: KeyValue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "WHOLE_MAX_BYTES", MIB)
    await films.put_items(id="clips", items=[PutItem(key=b"trailer", value=bytes(2 * MIB))])
    with pytest.raises(TooLarge, match=r"trailer.*clips"):
        await exported(films)


async def test_the_footer_says_what_it_is(stage: Stage, films: KeyValue) -> None:
    await fill(films, 2)
    metadata = pq.read_metadata(BytesIO(await content_of(stage, (await exported(films)).file)))
    said = msgspec.json.decode(metadata.metadata[MARK], type=Footer)
    assert (said.format, said.kind, said.namespace, said.items, said.bytes) == (1, "kv", "films", 6, 24)


async def test_nothing_is_left_beside_the_file(stage: Stage, films: KeyValue) -> None:
    await fill(films)
    await exported(films)
    assert (await stage.engines.blobs("blobs", "").usage()).blobs == 1


async def test_an_unknown_namespace_is_refused_at_once(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await stage.client(KeyValue, "none").export_parquet()


async def test_it_can_be_read_by_who_may_read_the_namespace(stage: Stage, films: KeyValue) -> None:
    file = (await exported(films)).file
    assert (await stage.files.find(file.blob, Principal("ada", {"films": ("read",)}))).size == file.size
    with pytest.raises(Forbidden):
        await stage.files.find(file.blob, Principal("eve", {"other": ("read",)}))


@pytest.mark.parametrize("calls", [0, 1, 2, 5, 9])
async def test_it_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    monkeypatch.setattr(exporting, "_PAGE", Budget(rows=6))
    monkeypatch.setattr(exporting, "GROUP_ROWS", 10)
    engine = Stopping(SystemEnvironment(), "kv/films")
    async with over(engine, tmp_path) as stage:
        films = await make(stage, "films")
        await fill(films)
        engine.left = calls
        job = await films.export_parquet()
        await engine.stopped.wait()
    engine.left = None
    async with over(engine, tmp_path) as stage:
        outcome = await stage.client(Jobs).result(job_id=job.job_id, wait=Duration.parse("60s"))
        assert (outcome.state, outcome.error) == ("succeeded", None)
        rows = pq.read_table(BytesIO(await content_of(stage, outcome.files[0]))).to_pylist()
        shown = await contents(stage.client(KeyValue, "films"))
        assert len(rows) == len(shown) == 60
        assert {(row["id"], row["key"]): row["token"] for row in rows} == {
            name: item.metadata.token.token for name, item in shown.items()
        }


async def test_it_goes_on_behind_values_in_chunks_that_were_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_PAGE", Budget(rows=2))
    monkeypatch.setattr(exporting, "GROUP_BYTES", 3 * MIB)
    engine = Stopping(SystemEnvironment(), "kv/films")
    async with over(engine, tmp_path) as stage:
        films = await make(stage, "films")
        for number in range(9):
            await films.put_items(id="clips", items=[PutItem(key=b"%d" % number, value=bytes(2 * MIB))])
        engine.left = 4
        job = await films.export_parquet()
        await engine.stopped.wait()
    engine.left = 100
    async with over(engine, tmp_path) as stage:
        outcome = await stage.client(Jobs).result(job_id=job.job_id, wait=Duration.parse("60s"))
        assert (outcome.state, outcome.error) == ("succeeded", None)
        rows = pq.read_table(BytesIO(await content_of(stage, outcome.files[0]))).to_pylist()
    assert [row["key"] for row in rows] == [b"%d" % number for number in range(9)]
    # All of the five pages would be read again.
    assert engine.left > 96
