"""Folders that earlier releases left open as they were; what this release writes is what they can read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from tests.engines.records.rocksdb import golden
from tests.engines.records.rocksdb.store import Store

from soundstage.core.errors import InvalidArgument
from soundstage.engines.rocks.folder import FORMAT
from soundstage.testing.model import Condition
from soundstage.testing.records.bench import KEPT_US

FORMATS = range(1, FORMAT + 1)


@pytest.fixture(params=FORMATS)
async def old(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store that opened the folder of an earlier release."""
    golden.unpack(request.param, tmp_path / "store")
    store = Store(str(tmp_path / "store"), conditional=True)
    await store.open()
    yield store
    await store.close()


def test_there_is_a_folder_of_every_format() -> None:
    assert [golden.archive(number).is_file() for number in FORMATS] == [True] * FORMAT


@pytest.mark.parametrize("number", FORMATS)
def test_a_folder_has_rows_in_table_files_and_in_the_log(number: int) -> None:
    with ZipFile(golden.archive(number)) as packed:
        sizes = {member.filename: member.file_size for member in packed.infolist()}
    assert [name for name in sizes if name.endswith(".sst")] != []
    assert max(size for name, size in sizes.items() if name.endswith(".log")) > 300
    assert sum(sizes.values()) < 100_000


async def test_items_are_there(old: Store) -> None:
    assert await old.values() == {
        b"2": b"value-2 again",
        b"3": b"value-3",
        b"4": b"value-4",
        b"expiring": b"soon",
        b"once": b"second",
    }


async def test_records_with_any_id_are_there(old: Store) -> None:
    assert await old.values(b"a\0b") == {b"key": b"value"}


async def test_a_walk_meets_every_record(old: Store) -> None:
    assert {partition for partition, _ in (await old.walk()).partitions} == {b"record", b"a\0b"}


async def test_stamps_are_there(old: Store) -> None:
    assert (await old.stamp(), await old.stamp(b"deleted")) == ((8, "t-8"), (6, "t-6"))


@pytest.mark.parametrize(("key", "record"), [(b"0", b"record"), (b"1", b"record"), (b"key", b"deleted")])
async def test_deletes_of_every_kind_still_hide(old: Store, key: bytes, record: bytes) -> None:
    await old.put(key, b"late", at=1, record=record)
    assert key not in await old.values(record)


async def test_a_success_is_still_known(old: Store) -> None:
    absent = Condition(b"once", None)
    assert await old.put_if(b"once", b"first", absent, at=4, token="t-4") == 4
    assert (await old.values())[b"once"] == b"second"


async def test_expiry_is_still_known(old: Store) -> None:
    assert b"expiring" not in await old.values(now=2 * KEPT_US)


async def test_everything_is_forgotten_in_its_time(old: Store) -> None:
    old.advance(2 * KEPT_US + old.kept_us)
    assert await old.sweep() == 5
    assert old.due() == {}


async def test_a_dedicated_table_is_there(old: Store) -> None:
    old.spec = next(spec for spec in await old.rocks.tables() if spec.name == golden.DEDICATED)
    assert await old.values() == {b"key": b"value"}


async def test_a_folder_is_upgraded_to_the_format_of_this_release(old: Store) -> None:
    assert f'"format":{FORMAT}' in read(old.folder)


def read(folder: str) -> str:
    return Path(folder, "FORMAT").read_text()


async def test_this_release_writes_what_its_format_says(old: Store, tmp_path: Path) -> None:
    """The rows of the newest folder and those written now are the same to the byte, but for the jitter of plans."""
    fresh = Store(str(tmp_path / "fresh"), conditional=True)
    await fresh.open()
    await golden.write_first(fresh)
    await golden.write_then(fresh)
    assert fresh.stored(b"") == old.stored(b"")
    assert {entry[12:] for entry in fresh.due()} == {entry[12:] for entry in old.due()}
    await fresh.close()


async def test_a_folder_of_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    golden.unpack(FORMAT, tmp_path / "store")
    before = age(tmp_path / "store", FORMAT + 1)
    store = Store(str(tmp_path / "store"), conditional=True)
    with pytest.raises(InvalidArgument, match=f"has the format {FORMAT + 1}") as caught:
        await store.open()
    assert caught.value.hint == "open it with the release that wrote it, or a newer one"
    assert contents(tmp_path / "store") == before


def age(folder: Path, number: int) -> dict[str, bytes]:
    """The folder says that it is of the format `number`; returns what is in it."""
    (folder / "FORMAT").write_text(f'{{"format":{number},"engine":"rocksdb"}}')
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "OWNER"}
