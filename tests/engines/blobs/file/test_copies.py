"""Copies of a folder of blobs: whole, openable, untouched by what comes after, and brought back or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import AlreadyExists, DataLoss, NotFound, Unavailable
from soundstage.core.size import Size
from soundstage.engines.blobs.file import FileBlobs, FileOptions
from soundstage.engines.blobs.port import BlobCheckpoints
from soundstage.testing.blobs.calls import put, read
from soundstage.testing.blobs.disk import refusing

FAST = FileOptions(durability="os", low_water=Size(0))


def names(folder: Path, pattern: str = "*") -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def links(folder: Path) -> list[int]:
    """How many folders each blob is in."""
    return [path.stat().st_nlink for path in (folder / "objects").glob("*/*")]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Any]:
    """Opens the engine on a folder of that name."""
    engines: list[FileBlobs] = []

    async def open(name: str) -> FileBlobs:
        engine = FileBlobs(str(tmp_path / name), FAST, VirtualEnvironment(seed=5))
        await engine.start()
        engines.append(engine)
        return engine

    yield open
    for engine in engines:
        await engine.stop()


@pytest.fixture
async def source(opened: Any) -> FileBlobs:
    """Two blobs, one of which replaced another."""
    engine: FileBlobs = await opened("source")
    await put(engine, "a", b"old")
    await put(engine, "a", b"new")
    await put(engine, "b/c", bytes(2_000_000))
    return engine


async def test_the_engine_says_that_it_can_be_copied(source: FileBlobs) -> None:
    assert isinstance(source, BlobCheckpoints)


async def test_a_copy_opens_by_itself(source: FileBlobs, opened: Any, tmp_path: Path) -> None:
    assert await source.checkpoint(str(tmp_path / "copy")) == 2
    copy = await opened("copy")
    assert (await read(copy, "a"), len(await read(copy, "b/c"))) == (b"new", 2_000_000)
    assert await copy.list() == await source.list()


async def test_a_copy_takes_no_room_on_the_same_disk(source: FileBlobs, tmp_path: Path) -> None:
    await source.checkpoint(str(tmp_path / "copy"))
    assert links(tmp_path / "copy") == [2, 2]


async def test_what_comes_after_is_not_in_the_copy(source: FileBlobs, opened: Any, tmp_path: Path) -> None:
    await source.checkpoint(str(tmp_path / "copy"))
    await put(source, "a", b"later")
    await source.delete("b/c")
    copy = await opened("copy")
    assert (await read(copy, "a"), len(await read(copy, "b/c"))) == (b"new", 2_000_000)


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies lie on another file system."""

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_links")
async def test_a_file_system_without_links_has_files_of_its_own(source: FileBlobs, opened: Any, tmp_path: Path) -> None:
    await source.checkpoint(str(tmp_path / "copy"))
    copy = await opened("copy")
    assert await read(copy, "a") == b"new"


@pytest.mark.usefixtures("no_links")
async def test_nobody_else_reads_a_copy_on_another_file_system(source: FileBlobs, tmp_path: Path) -> None:
    await source.checkpoint(str(tmp_path / "copy"))
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "copy" / "objects").glob("*/*")} == {0o600}


@pytest.mark.usefixtures("no_links")
async def test_a_copy_on_a_file_system_without_rights_is_one(
    source: FileBlobs, opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copymode", refuse)
        await source.checkpoint(str(tmp_path / "copy"))
    copy = await opened("copy")
    assert await read(copy, "a") == b"new"


async def test_a_folder_that_exists_is_not_written_into(source: FileBlobs, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(AlreadyExists, match="copy exists"):
        await source.checkpoint(str(tmp_path / "copy"))


async def test_a_disk_that_refuses_leaves_nothing(source: FileBlobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        await source.checkpoint(str(tmp_path / "file" / "copy"))
    assert names(tmp_path) == ["file", "source"]


async def test_a_copy_is_brought_back(source: FileBlobs, opened: Any, tmp_path: Path) -> None:
    await source.checkpoint(str(tmp_path / "copy"))
    other: FileBlobs = await opened("other")
    await put(other, "own", b"own")
    assert await other.restore(str(tmp_path / "copy")) == 2
    assert [info.key for info in await other.list()] == ["a", "b/c", "own"]
    assert await read(other, "a") == b"new"


async def test_what_was_brought_back_is_there_after_a_restart(source: FileBlobs, opened: Any, tmp_path: Path) -> None:
    await source.checkpoint(str(tmp_path / "copy"))
    other: FileBlobs = await opened("other")
    await other.restore(str(tmp_path / "copy"))
    await put(other, "a", b"later")
    await other.stop()
    again = await opened("other")
    assert (await read(again, "a"), len(await read(again, "b/c"))) == (b"later", 2_000_000)


async def test_nothing_is_brought_back_over_what_is_there(source: FileBlobs, opened: Any, tmp_path: Path) -> None:
    await source.checkpoint(str(tmp_path / "copy"))
    other: FileBlobs = await opened("other")
    await put(other, "b/c", b"mine")
    with pytest.raises(AlreadyExists, match="'b/c' is there"):
        await other.restore(str(tmp_path / "copy"))
    assert [info.key for info in await other.list()] == ["b/c"]
    assert await read(other, "b/c") == b"mine"


async def test_a_folder_that_is_no_copy_is_told(source: FileBlobs, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no backup"):
        await source.restore(str(tmp_path))


async def test_the_copy_is_not_changed_by_who_brings_it_back(source: FileBlobs, opened: Any, tmp_path: Path) -> None:
    await source.checkpoint(str(tmp_path / "copy"))
    before = names(tmp_path / "copy", "**/*")
    other: FileBlobs = await opened("other")
    await other.restore(str(tmp_path / "copy"))
    await other.delete("a")
    assert names(tmp_path / "copy", "**/*") == before


async def test_what_is_deleted_meanwhile_is_not_copied(source: FileBlobs, opened: Any, tmp_path: Path) -> None:
    for number in range(50):
        await put(source, f"k{number}", b"x")
    copying = asyncio.ensure_future(source.checkpoint(str(tmp_path / "copy")))
    for number in reversed(range(50)):
        await source.delete(f"k{number}")
    count = await copying
    copy = await opened("copy")
    assert (len(await copy.list()), await read(copy, "a")) == (count, b"new")


async def test_what_is_replaced_meanwhile_is_copied_as_it_was_or_is(
    source: FileBlobs, opened: Any, tmp_path: Path
) -> None:
    copying = asyncio.ensure_future(source.checkpoint(str(tmp_path / "copy")))
    while not copying.done():
        await put(source, "a", b"new")
    assert await copying == 2
    assert await read(await opened("copy"), "a") == b"new"


async def test_a_blob_whose_file_has_vanished_is_told(source: FileBlobs, tmp_path: Path) -> None:
    for path in (tmp_path / "source" / "objects").glob("*/*"):
        path.unlink()
    with pytest.raises(DataLoss):
        await source.checkpoint(str(tmp_path / "copy"))
    assert names(tmp_path) == ["source"]


async def test_a_copy_that_cannot_be_brought_back_leaves_nothing(
    source: FileBlobs, opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await source.checkpoint(str(tmp_path / "copy"))
    other: FileBlobs = await opened("other")
    with refusing("fsync", 1, after=False), pytest.raises(Unavailable):
        await other.restore(str(tmp_path / "copy"))
    assert names(tmp_path / "other" / "objects", "*/*") == []
