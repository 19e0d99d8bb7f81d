"""Reading a file by its parts: only what is needed, from any row on, within bounds, and never as another's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.parquet.conftest import written

from soundstage.core.errors import DataLoss, InvalidArgument, TooLarge
from soundstage.data.parquet import files
from soundstage.data.parquet.files import ParquetFile
from soundstage.data.parquet.footers import MARK

COLUMNS = {"id": [f"id-{number}" for number in range(100)], "value": [bytes([number]) * 50 for number in range(100)]}


async def inline(do: Any, *given: Any) -> Any:
    return do(*given)


class Source:
    """Bytes that are read in pieces; `asked` are the ranges."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[tuple[int, int]] = []

    async def read(self, start: int, end: int) -> AsyncGenerator[bytes]:
        self.asked.append((start, end))
        for at in range(start, end, 1_000):
            yield self.content[at : min(at + 1_000, end)]


async def opened(content: bytes) -> ParquetFile:
    return await ParquetFile.open(Source(content).read, len(content), inline)


async def ids(file: ParquetFile, start: int = 0) -> list[str]:
    return [name async for batch in file.batches(["id"], start) for name in batch.column("id").to_pylist()]


def marked(said: bytes) -> bytes:
    return written(COLUMNS) if not said else _with_metadata({MARK: said})


def _with_metadata(metadata: dict[bytes, bytes]) -> bytes:
    sink = BytesIO()
    pq.write_table(pa.table(COLUMNS).replace_schema_metadata(metadata), sink)
    return sink.getvalue()


@pytest.mark.parametrize("start", [0, 1, 29, 30, 31, 60, 99, 100])
async def test_it_begins_at_any_row(start: int) -> None:
    file = await opened(written(COLUMNS, row_group_size=30))
    assert await ids(file, start) == COLUMNS["id"][start:]


async def test_row_groups_before_the_first_row_are_not_read() -> None:
    source = Source(written(COLUMNS, row_group_size=10))
    file = await ParquetFile.open(source.read, len(source.content), inline)
    source.asked.clear()
    assert len(await ids(file, 95)) == 5
    assert len(source.asked) == 1


async def test_columns_that_nobody_wants_are_not_read() -> None:
    random = bytes(range(256)) * 4_000
    source = Source(written({"id": ["x"], "value": [random]}, use_dictionary=False, compression=None))
    file = await ParquetFile.open(source.read, len(source.content), inline)
    source.asked.clear()
    await ids(file)
    assert sum(end - start for start, end in source.asked) < 1_000


async def test_a_long_footer_is_read_whole() -> None:
    columns = {"id": ["x" * 100] * 2_000, **{f"c{number}": [1] * 2_000 for number in range(30)}}
    source = Source(written(columns, row_group_size=50))
    file = await ParquetFile.open(source.read, len(source.content), inline)
    assert source.asked[1][1] - source.asked[1][0] > 64 << 10
    assert len(await ids(file)) == 2_000


async def test_a_batch_holds_little_however_large_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BATCH_BYTES", 1_000)
    file = await opened(written(COLUMNS, use_dictionary=False))
    assert max([batch.num_rows async for batch in file.batches(["value"], 0)]) < 40


LONG = b"long" * (4 << 10)
IN_DICTIONARY: dict[str, Any] = {"dictionary_pagesize_limit": 1 << 30}

FEW_BYTES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a value in a dictionary": ([b"x", LONG, LONG] * 700, IN_DICTIONARY),
    "one in a dictionary after nulls": ([None] * 300 + [LONG] * 1_400, IN_DICTIONARY),
    "what values begin with": (
        [LONG] * 1_400,
        {"use_dictionary": False, "column_encoding": {"value": "DELTA_BYTE_ARRAY"}},
    ),
    "a value of fixed size": (pa.array([LONG] * 1_400, pa.binary(len(LONG))), IN_DICTIONARY),
    "a dictionary for programs": (pa.array([LONG] * 1_400).dictionary_encode(), IN_DICTIONARY),
}


@pytest.mark.parametrize("kind", FEW_BYTES)
async def test_a_batch_holds_little_also_where_few_bytes_are_many_rows(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BATCH_BYTES", 128 << 10)
    values, options = FEW_BYTES[kind]
    prefixes = files.BATCHES_OF_PREFIXES // 4 if "column_encoding" in options else 0
    content = written({"value": values}, **options)
    assert len(content) < 256 << 10
    file, before = await opened(content), pa.total_allocated_bytes()
    sizes: list[int] = []
    async for batch in file.batches(["value"], 0):
        assert pa.total_allocated_bytes() - before < (1 + prefixes) << 20
        sizes.extend(len(value) for value in batch.column("value").to_pylist() if value)
    assert sizes.count(len(LONG)) == 1_400


async def test_a_batch_of_small_rows_holds_many() -> None:
    file = await opened(written({"id": [f"id-{number % 100}" for number in range(5_000)]}))
    assert [batch.num_rows async for batch in file.batches(["id"], 0)] == [2_048, 2_048, 904]


async def test_columns_that_are_none_of_the_library_are_refused() -> None:
    sink, table = BytesIO(), pa.table(COLUMNS)
    with pq.ParquetWriter(sink, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"ARROW:schema": "none"})
    with pytest.raises(InvalidArgument, match="no file of Parquet"):
        await opened(sink.getvalue())


async def test_a_row_group_over_the_bound_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GROUP_MAX_BYTES", 100)
    with pytest.raises(TooLarge, match="row group 0") as caught:
        await ids(await opened(written(COLUMNS)))
    assert "ROW_GROUP_SIZE" in (caught.value.hint or "")


async def test_one_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GROUP_MAX_UNPACKED", 100)
    with pytest.raises(TooLarge, match="unpacked"):
        await ids(await opened(written(COLUMNS)))


async def test_a_page_that_unpacks_to_too_much_is_refused_whatever_the_footer_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "PAGE_MAX_UNPACKED", 100)
    with pytest.raises(TooLarge, match="unpacked"):
        await ids(await opened(written(COLUMNS)))


async def test_a_footer_that_leads_outside_is_data_loss() -> None:
    content = written(COLUMNS, row_group_size=10)
    with pytest.raises(DataLoss):
        await ids(await opened(content[len(content) // 2 :]))


async def test_a_file_of_another_program_has_no_footer_of_ours() -> None:
    assert (await opened(written(COLUMNS))).footer is None


async def test_a_newer_format_is_refused() -> None:
    said = b'{"format": 2, "namespace": "films", "exported_us": 1, "items": 100, "bytes": 1}'
    with pytest.raises(InvalidArgument, match="format 2"):
        await opened(marked(said))


async def test_a_mark_that_is_not_ours_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="another's mark"):
        await opened(marked(b"not json"))


@pytest.mark.parametrize("at", range(12, 200, 37))
async def test_no_damage_to_the_end_is_more_than_refused(at: int) -> None:
    content = bytearray(written(COLUMNS))
    content[-at] ^= 0xFF
    try:
        found = await ids(await opened(bytes(content)))
    except (InvalidArgument, DataLoss, TooLarge):
        return
    assert len(found) == 100
