"""Files of ours and of other programs as items: with their versions or new ones, again and again, after every stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pytest
from tests.data.kv.parquet.conftest import contents, exported, fill, imported, make, plain
from tests.data.parquet.conftest import Stopping, content_of, over, sent, written

from soundstage.core.call import Principal
from soundstage.core.compression import compress
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TooLarge,
)
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.time import Duration
from soundstage.data.kv.api import KeyValue, MatchAll, Predicate, PutItem
from soundstage.data.kv.parquet import importing
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.stage import Stage

MIB = 1 << 20
DAY = Duration.parse("1d")
ROWS = {"id": ["ann", "ann", "bob"], "key": ["1", "2", "1"], "value": ["five", "four", "three"]}
KEPT = {("ann", b"1"): b"five", ("ann", b"2"): b"four", ("bob", b"1"): b"three"}


class TestVersionsKept:
    async def test_it_answers_as_what_was_exported(self, films: KeyValue, again: KeyValue) -> None:
        await fill(films)
        await films.put_items(id="film-3", items=[PutItem(key=b"soon", value=b"v", ttl=DAY)])
        found = await exported(films)
        filled = await imported(again, found.file)
        assert (filled.items, filled.bytes, filled.expired) == (found.items, found.bytes, 0)
        assert await contents(again) == await contents(films)

    async def test_values_in_chunks_are_in_chunks_again(self, films: KeyValue, again: KeyValue) -> None:
        await films.put_items(id="clips", items=[PutItem(key=b"k", value=b"ab" * MIB), PutItem(key=b"l", value=b"v")])
        await imported(again, (await exported(films)).file)
        assert await contents(again) == await contents(films)
        async with again.get_value(id="clips", key=b"k") as value:
            assert await value.read() == b"ab" * MIB

    async def test_a_later_write_replaces_and_an_earlier_one_loses(
        self, stage: Stage, films: KeyValue, again: KeyValue
    ) -> None:
        await films.put_items(id="x", items=[PutItem(key=b"k", value=b"file")])
        await imported(again, (await exported(films)).file)
        early = IdempotencyToken(Instant.from_us(stage.environment.now_us() - 30_000_000), "early")
        await again.put_items(id="x", items=[PutItem(key=b"k", value=b"early")], idempotency_token=early)
        assert await plain(again) == {("x", b"k"): b"file"}
        await again.put_items(id="x", items=[PutItem(key=b"k", value=b"late")])
        assert await plain(again) == {("x", b"k"): b"late"}

    @pytest.mark.parametrize("kind", ["an item", "traces", "a truncation"])
    async def test_nothing_may_have_been_there_before(self, films: KeyValue, again: KeyValue, kind: str) -> None:
        await fill(films, 1)
        file = (await exported(films)).file
        if kind == "an item":
            await fill(again, 1)
        elif kind == "traces":
            await again.delete_items(id="film-0", predicate=Predicate(match_all=MatchAll()))
        else:
            await again.truncate(confirm="again")
        with pytest.raises(AlreadyExists, match="holds something"):
            await imported(again, file)

    async def test_new_versions_go_in_over_what_is_there(self, films: KeyValue, again: KeyValue) -> None:
        await fill(films, 2)
        file = (await exported(films)).file
        await again.put_items(id="film-0", items=[PutItem(key=b"0\xff", value=b"before"), PutItem(key=b"z", value=b"")])
        await imported(again, file, versions="new")
        await imported(again, file, versions="new")
        assert await plain(again) == await plain(films) | {("film-0", b"z"): b""}

    async def test_what_has_expired_since_is_counted_and_not_put(self, stage: Stage, again: KeyValue) -> None:
        rows = ours(stage, 2) | {"expires_at": pa.array([1, None], pa.timestamp("us", "UTC"))}
        filled = await imported(again, await sent(stage, rows), versions="keep")
        assert (filled.items, filled.expired) == (1, 1)

    async def test_a_file_that_another_program_filtered_keeps_its_versions(
        self, stage: Stage, films: KeyValue, again: KeyValue, tmp_path: Path
    ) -> None:
        await fill(films)
        await stage.files.download((await exported(films)).file, path := tmp_path / "films.parquet")
        duckdb.sql(f"COPY (SELECT * FROM '{path}' WHERE id = 'film-7') TO '{tmp_path}/seven.parquet' (FORMAT parquet)")
        await imported(again, await stage.files.upload(tmp_path / "seven.parquet"), versions="keep")
        assert await contents(again) == {
            name: item for name, item in (await contents(films)).items() if name[0] == "film-7"
        }

    async def test_an_import_that_takes_longer_than_deletes_are_remembered_is_stopped(
        self, stage: Stage, films: KeyValue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fill(films, 1)
        file = (await exported(films)).file
        short = await make(stage, "short", drift_past="1s")
        monkeypatch.setattr(importing, "IN_FLIGHT_MAX_US", -2_000_002)
        with pytest.raises(PreconditionFailed, match="may be forgotten") as caught:
            await imported(short, file)
        assert "drift_past" in (caught.value.hint or "")


class TestOtherPrograms:
    async def test_rows_are_items_with_new_versions(self, stage: Stage, again: KeyValue) -> None:
        before_us = stage.environment.now_us()
        filled = await imported(again, await sent(stage, ROWS))
        assert (filled.namespace, filled.items, filled.expired) == ("again", 3, 0)
        assert await plain(again) == KEPT
        times = {item.metadata.token.generation_time // 1_000 for item in (await contents(again)).values()}
        assert before_us <= min(times) <= max(times) <= stage.environment.now_us()

    async def test_whole_numbers_are_text_in_decimal(self, stage: Stage, again: KeyValue) -> None:
        rows = {"id": [1, 1, -7], "key": [10, 20, 10], "value": pa.array([5, 4, 3], pa.int8())}
        await imported(again, await sent(stage, rows))
        assert await plain(again) == {("1", b"10"): b"5", ("1", b"20"): b"4", ("-7", b"10"): b"3"}

    @pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "binary", "large_binary", "dictionary"])
    async def test_text_and_bytes_of_every_kind_are_taken(self, stage: Stage, again: KeyValue, kind: str) -> None:
        columns: dict[str, Any] = {}
        for name, found in ROWS.items():
            column: Any = pa.array(found)
            columns[name] = column.dictionary_encode() if kind == "dictionary" else column.cast(getattr(pa, kind)())
        await imported(again, await sent(stage, columns))
        assert await plain(again) == KEPT

    async def test_what_duckdb_writes_is_taken(self, stage: Stage, again: KeyValue, tmp_path: Path) -> None:
        path = tmp_path / "squares.parquet"
        duckdb.sql(
            "COPY (SELECT 'n' || (i % 7) AS id, i AS key, encode(repeat('x', i % 50)) AS value, "
            "now() + INTERVAL 1 DAY AS expires_at FROM range(5000) t(i)) "
            f"TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048, COMPRESSION zstd)"
        )
        filled = await imported(again, await stage.files.upload(path))
        assert filled.items == 5_000
        found = await contents(again)
        assert {name: item.value for name, item in found.items()} == {
            (f"n{number % 7}", b"%d" % number): b"x" * (number % 50) for number in range(5_000)
        }
        assert all(item.metadata.expires_at is not None for item in found.values())

    async def test_what_polars_writes_is_taken(self, stage: Stage, again: KeyValue, tmp_path: Path) -> None:
        polars.DataFrame(ROWS).write_parquet(tmp_path / "rows.parquet")
        await imported(again, await stage.files.upload(tmp_path / "rows.parquet"))
        assert await plain(again) == KEPT

    async def test_of_two_rows_about_one_item_the_later_wins(self, stage: Stage, again: KeyValue) -> None:
        rows = {"id": ["x"] * 11, "key": ["k"] * 11, "value": [str(number) for number in range(11)]}
        await imported(again, await sent(stage, rows, row_group_size=4))
        assert await plain(again) == {("x", b"k"): b"10"}

    async def test_it_goes_in_over_what_was_written_before(self, stage: Stage, again: KeyValue) -> None:
        await again.put_items(id="ann", items=[PutItem(key=b"1", value=b"before")])
        await imported(again, await sent(stage, ROWS))
        assert await plain(again) == KEPT

    async def test_a_codec_is_the_items(self, stage: Stage, again: KeyValue) -> None:
        values = [compress("zstd", b"five"), b"four", compress("lz4", b"three")]
        await imported(again, await sent(stage, ROWS | {"value": values, "codec": ["zstd", "none", "lz4"]}))
        found = {name: (item.value, item.metadata.codec) for name, item in (await contents(again)).items()}
        assert found == {
            ("ann", b"1"): (b"five", "zstd"),
            ("ann", b"2"): (b"four", None),
            ("bob", b"1"): (b"three", "lz4"),
        }

    async def test_who_follows_is_told_of_every_row(self, stage: Stage) -> None:
        from contextlib import aclosing

        watched = await make(stage, "watched", watch=True)
        await imported(watched, await sent(stage, ROWS))
        async with aclosing(watched.watch_items(cursor="0")) as changes:
            told = [await anext(changes) for _ in range(2)]
        assert {(each.id, item.key): item.value for each in told for item in each.items or []} == KEPT


class TestRefusals:
    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            ({"id": ["x"], "key": ["k"]}, "lacks the column 'value'"),
            (ROWS | {"year": [1, 2, 3]}, "year"),
            (ROWS | {"value": [1.5, 2.5, 3.5]}, "'value' is double"),
            (ROWS | {"key": [["a"], ["b"], ["c"]]}, "'key' is list"),
            (ROWS | {"expires_at": pa.array([1, 2, 3], pa.timestamp("us"))}, "time zone"),
            (ROWS | {"codec": [1, 2, 3]}, "'codec' is int64"),
        ],
    )
    async def test_a_column_that_does_not_fit_is_named_at_once(
        self, stage: Stage, again: KeyValue, columns: Any, said: str
    ) -> None:
        file = await sent(stage, columns)
        with pytest.raises(InvalidArgument, match=said) as caught:
            await again.import_parquet(file=file)
        assert caught.value.hint

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            (ROWS | {"id": ["ann", "", "bob"]}, "row 2 of the file, column 'id'"),
            (ROWS | {"id": ["ann", "ann", "b" * 1_025]}, "row 3 of the file, column 'id'"),
            (ROWS | {"id": [b"ann", b"ann", b"\xff"]}, "row 3 of the file, column 'id'"),
            (ROWS | {"key": [None, "2", "1"]}, "row 1 of the file, column 'key'"),
            (ROWS | {"key": ["k" * 4_097, "2", "1"]}, "row 1 of the file, column 'key'"),
            (ROWS | {"value": ["five", None, "three"]}, "row 2 of the file, column 'value'"),
            (ROWS | {"expires_at": pa.array([None, 2**62, None], pa.timestamp("us", "UTC"))}, "row 2 .*'expires_at'"),
            (ROWS | {"codec": ["zstd", "", None]}, "row 2 of the file, column 'codec'"),
            (ROWS | {"codec": [None, None, "brotli"]}, "is no codec; they are zstd, lz4, none"),
        ],
    )
    async def test_a_row_that_is_no_item_is_named(self, stage: Stage, again: KeyValue, columns: Any, said: str) -> None:
        file = await sent(stage, columns)
        with pytest.raises(InvalidArgument, match=said):
            await imported(again, file)

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"token": ["a", ""]}, "row 2 of the file, column 'token'"),
            ({"token": ["a", "b\0"]}, "row 2 of the file, column 'token'"),
            ({"time": pa.array([2**61, 1], pa.timestamp("us", "UTC"))}, "row 1 of the file, column 'time'"),
            ({"time": pa.array([1, 0], pa.timestamp("us", "UTC"))}, "row 2 of the file, column 'time'"),
            ({"time": [1, 2]}, "'time' is not as an export leaves it"),
            ({"more": [1, 2]}, "columns that no export makes"),
        ],
    )
    async def test_a_version_that_no_write_has_is_named(
        self, stage: Stage, again: KeyValue, changed: Any, said: str
    ) -> None:
        file = await sent(stage, ours(stage, 2) | changed)
        with pytest.raises(InvalidArgument, match=said):
            await imported(again, file, versions="keep")

    async def test_a_value_that_is_too_large_is_named(
        self, stage: Stage, again: KeyValue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "WHOLE_MAX_BYTES", 4)
        with pytest.raises(TooLarge, match="row 3 of the file, column 'value': 5 bytes"):
            await imported(again, await sent(stage, ROWS))

    async def test_the_rows_before_one_that_is_refused_are_in(self, stage: Stage, again: KeyValue) -> None:
        names = [f"n{number}" for number in range(5_000)]
        file = await sent(stage, {"id": names, "key": ["k"] * 5_000, "value": ["v"] * 4_999 + [None]})
        with pytest.raises(InvalidArgument, match="row 5000"):
            await imported(again, file)
        assert len(await plain(again)) == 4_096

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"id,key,value\n" * 10, b"x" * 100 + b"\xff\xff\xff\x7fPAR1"])
    async def test_what_is_no_parquet_is_refused_at_once(self, stage: Stage, again: KeyValue, content: bytes) -> None:
        file = await stage.files.upload(content)
        with pytest.raises(InvalidArgument, match="no file of Parquet"):
            await again.import_parquet(file=file)

    async def test_a_file_that_was_cut_is_refused_at_once(self, stage: Stage, again: KeyValue) -> None:
        file = await stage.files.upload(written(ROWS)[:-20])
        with pytest.raises(InvalidArgument, match="no file of Parquet"):
            await again.import_parquet(file=file)

    async def test_a_changed_page_is_data_loss(self, stage: Stage, films: KeyValue, again: KeyValue) -> None:
        await films.put_items(id="x", items=[PutItem(key=b"k", value=SystemEnvironment().random.randbytes(4_096))])
        content = bytearray(await content_of(stage, (await exported(films)).file))
        content[2_000] ^= 1
        with pytest.raises(DataLoss, match="row group 0"):
            await imported(again, await stage.files.upload(bytes(content)))

    async def test_a_file_without_some_values_is_refused_at_once(self, films: KeyValue, again: KeyValue) -> None:
        await fill(films, 2)
        file = (await exported(films, max_value_bytes=0)).file
        with pytest.raises(InvalidArgument, match="6 values were left out"):
            await again.import_parquet(file=file)

    async def test_who_may_not_read_the_file_may_not_import_it(self, stage: Stage, films: KeyValue) -> None:
        file = (await exported(films)).file
        with pytest.raises(SoundstageError, match="may not read"):
            await stage.files.find(file.blob, Principal("eve", {"again": ("write",)}))

    async def test_an_unknown_namespace_is_refused_at_once(self, stage: Stage) -> None:
        with pytest.raises(NotFound):
            await stage.client(KeyValue, "none").import_parquet(file=await sent(stage, ROWS))


def ours(stage: Stage, count: int) -> dict[str, Any]:
    """Columns as an export leaves them."""
    now_us = stage.environment.now_us()
    instant = pa.timestamp("us", "UTC")
    return {
        "id": [f"id-{number}" for number in range(count)],
        "key": [b"k"] * count,
        "value": [b"v"] * count,
        "token": ["t"] * count,
        "time": pa.array([now_us] * count, instant),
        "expires_at": pa.array([None] * count, instant),
        "size": [1] * count,
        "codec": pa.array([None] * count, pa.string()),
    }


@pytest.mark.parametrize("calls", [0, 1, 7, 30, 59])
@pytest.mark.parametrize("versions", ["keep", "new"])
async def test_it_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: Any, calls: int
) -> None:
    monkeypatch.setattr(importing, "PIECE_ROWS", 10)
    monkeypatch.setattr("soundstage.data.parquet.files.BATCH_ROWS", 5)
    monkeypatch.setattr("soundstage.data.parquet.files.STEP_ROWS", 5)
    monkeypatch.setattr(importing, "AT_ONCE", 2)
    engine = Stopping(SystemEnvironment(), "kv/again")
    async with over(engine, tmp_path) as stage:
        films = await make(stage, "films")
        for number in range(60):
            await films.put_items(id=f"film-{number}", items=[PutItem(key=b"k", value=b"%d" % number)])
        again = await make(stage, "again")
        await again.count_items(id="none")
        file = (await exported(films)).file
        engine.left = calls
        job = await again.import_parquet(file=file, versions=versions)
        await engine.stopped.wait()
    engine.left = None
    async with over(engine, tmp_path) as stage:
        outcome = await stage.client(Jobs).result(job_id=job.job_id, wait=Duration.parse("60s"))
        assert (outcome.state, outcome.error) == ("succeeded", None)
        shown, wanted = stage.client(KeyValue, "again"), stage.client(KeyValue, "films")
        assert await plain(shown) == await plain(wanted)
        if versions == "keep":
            assert await contents(shown) == await contents(wanted)
