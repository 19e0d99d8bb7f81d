"""Blobs that other programs open where they lie: as they were put, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, InvalidArgument, NotFound, Unavailable
from soundstage.core.size import Size
from soundstage.engines.blobs.file import FileBlobs, FileOptions
from soundstage.testing.blobs.calls import content_of, keys, put, read, state
from soundstage.testing.blobs.disk import refusing

KEY = "timeseries/ab/7/run/00000.parquet"


def made(folder: Path, layout: Literal["packed", "plain"] = "plain") -> FileBlobs:
    return FileBlobs(str(folder), FileOptions(low_water=Size(0), layout=layout), VirtualEnvironment(seed=5))


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[FileBlobs]:
    engine = made(tmp_path / "blobs")
    await engine.start()
    yield engine
    await engine.stop()


def named(folder: Path) -> dict[str, bytes]:
    """What other programs find."""
    files = folder / "files"
    return {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}


def objects(folder: Path) -> list[Path]:
    return sorted((folder / "objects").glob("*/*"))


def spoil(path: Path, at: int) -> None:
    path.chmod(0o600)
    with open(path, "r+b") as file:
        file.seek(at)
        found = file.read(1)
        file.seek(at)
        file.write(bytes((found[0] ^ 1,)))


async def test_a_blob_is_a_file_of_its_bytes_under_its_key(engine: FileBlobs) -> None:
    content = content_of(1_300_000)
    await put(engine, KEY, content)
    assert named(engine.folder) == {KEY: content}


async def test_its_bytes_are_on_the_disk_once(engine: FileBlobs) -> None:
    await put(engine, KEY, content_of(1_300_000))
    assert (engine.folder / "files" / KEY).samefile(objects(engine.folder)[0])


async def test_a_key_may_go_on_where_another_ends(engine: FileBlobs) -> None:
    for key in ("a", "a/b", "a/b.c", "a/b.c/d"):
        await put(engine, key, key.encode())
    assert sorted(named(engine.folder).values()) == [b"a", b"a/b", b"a/b.c", b"a/b.c/d"]


async def test_who_has_a_replaced_file_open_reads_on_in_it(engine: FileBlobs) -> None:
    await put(engine, KEY, b"old")
    descriptor = os.open(engine.folder / "files" / KEY, os.O_RDONLY)
    await put(engine, KEY, b"new")
    assert os.pread(descriptor, 10, 0) == b"old"
    os.close(descriptor)
    assert named(engine.folder) == {KEY: b"new"}


async def test_a_deleted_blob_leaves_no_file_and_no_folder(engine: FileBlobs) -> None:
    await put(engine, "timeseries/kept.parquet")
    await put(engine, KEY)
    await engine.delete(KEY)
    assert named(engine.folder) == {"timeseries/kept.parquet": b"x"}
    assert [path.name for path in (engine.folder / "files" / "timeseries").iterdir()] == ["kept.parquet"]
    assert len(objects(engine.folder)) == 2


async def test_a_blob_that_expired_leaves_none_when_it_is_swept(tmp_path: Path) -> None:
    environment = VirtualEnvironment(seed=5)
    engine = FileBlobs(str(tmp_path), FileOptions(low_water=Size(0), layout="plain"), environment)
    await engine.start()
    await put(engine, KEY, expires_us=environment.now_us() + 1_000_000)
    environment.advance(2.0)
    assert await engine.sweep(10) == 1
    assert (named(tmp_path), objects(tmp_path)) == ({}, [])
    await engine.stop()


@pytest.mark.parametrize("at", [0, 1_200_000])
async def test_what_other_programs_did_to_a_file_is_found_by_who_reads_the_blob(engine: FileBlobs, at: int) -> None:
    await put(engine, KEY, content_of(1_300_000))
    spoil(engine.folder / "files" / KEY, at)
    with pytest.raises(DataLoss):
        await read(engine, KEY)


async def test_a_range_without_the_damage_is_read(engine: FileBlobs) -> None:
    content = content_of(1_300_000)
    await put(engine, KEY, content)
    spoil(engine.folder / "files" / KEY, 1_200_000)
    assert await read(engine, KEY, 5, 1_000_000) == content[5:1_000_000]


@pytest.mark.parametrize("part", [0, 1], ids=["bytes", "sums"])
async def test_a_file_that_vanished_is_a_loss(engine: FileBlobs, part: int) -> None:
    await put(engine, KEY)
    objects(engine.folder)[part].unlink()
    with pytest.raises(DataLoss):
        await read(engine, KEY)


async def test_bytes_that_vanished_are_a_loss_after_a_restart_too(engine: FileBlobs) -> None:
    await put(engine, KEY)
    objects(engine.folder)[0].unlink()
    await engine.stop()
    await engine.start()
    with pytest.raises(DataLoss):
        await read(engine, KEY)
    await engine.delete(KEY)
    assert (named(engine.folder), objects(engine.folder)) == ({}, [])


async def test_files_are_for_reading(engine: FileBlobs) -> None:
    await put(engine, KEY)
    assert (engine.folder / "files" / KEY).stat().st_mode & 0o777 == 0o400


async def test_what_others_removed_is_there_again_after_a_start(engine: FileBlobs) -> None:
    await put(engine, KEY, b"kept")
    shutil.rmtree(engine.folder / "files" / "timeseries")
    await engine.stop()
    await engine.start()
    assert named(engine.folder) == {KEY: b"kept"}


async def test_a_file_that_others_put_there_is_told_and_left(
    engine: FileBlobs, caplog: pytest.LogCaptureFixture
) -> None:
    await put(engine, KEY)
    (engine.folder / "files" / "notes.txt").write_bytes(b"mine")
    await engine.stop()
    await engine.start()
    assert named(engine.folder) == {KEY: b"x", "notes.txt": b"mine"}
    assert "files lie among the blobs" in caplog.text


async def test_a_name_that_the_disk_refuses_is_told_and_made_at_the_next_start(
    engine: FileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(31, "Too many links")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refused)
        await put(engine, KEY, b"there")
    assert (await read(engine, KEY), named(engine.folder)) == (b"there", {})
    assert "1 blobs do not lie in" in str(engine.warning)
    await engine.stop()
    await engine.start()
    assert named(engine.folder) == {KEY: b"there"}
    assert engine.warning is None


async def test_a_blob_that_could_not_be_deleted_keeps_its_name(engine: FileBlobs) -> None:
    await put(engine, KEY, b"old")
    with refusing("unlink", 2, after=False), pytest.raises(Unavailable):
        await engine.delete(KEY)
    assert (await state(engine, KEY), named(engine.folder)) == (b"old", {KEY: b"old"})


async def test_a_file_system_without_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(Unavailable, match="not permitted"):
        await made(tmp_path).start()


class TestFormat:
    async def test_it_tells_of_the_layout(self, engine: FileBlobs) -> None:
        assert (engine.folder / "FORMAT").read_bytes() == b'{"format":2,"engine":"blobs","layout":"plain"}'

    @pytest.mark.parametrize(("first", "then"), [("packed", "plain"), ("plain", "packed")])
    async def test_a_folder_keeps_the_layout_that_it_was_begun_with(
        self, tmp_path: Path, first: Literal["packed", "plain"], then: Literal["packed", "plain"]
    ) -> None:
        engine = made(tmp_path, first)
        await engine.start()
        await put(engine, KEY, b"kept")
        await engine.stop()
        with pytest.raises(InvalidArgument, match=f"have the layout {first}, not {then}"):
            await made(tmp_path, then).start()
        await engine.start()
        assert await read(engine, KEY) == b"kept"
        await engine.stop()

    @pytest.mark.parametrize(("first", "then"), [("packed", "plain"), ("plain", "plain"), ("plain", "packed")])
    async def test_blobs_of_a_layout_that_nobody_tells_are_left_as_they_are(
        self, tmp_path: Path, first: Literal["packed", "plain"], then: Literal["packed", "plain"]
    ) -> None:
        engine = made(tmp_path, first)
        await engine.start()
        await put(engine, KEY)
        await engine.stop()
        (tmp_path / "FORMAT").unlink()
        before = objects(tmp_path)
        with pytest.raises(DataLoss, match="FORMAT"):
            await made(tmp_path, then).start()
        assert objects(tmp_path) == before

    async def test_a_newer_one_is_refused(self, engine: FileBlobs) -> None:
        await engine.stop()
        (engine.folder / "FORMAT").write_bytes(b'{"format":3,"engine":"blobs","layout":"plain"}')
        with pytest.raises(InvalidArgument, match="has the format 3"):
            await engine.start()


@contextmanager
def crashes(folder: Path, images: Path) -> Generator[list[Path]]:
    """Before and after every change to files within the block, the folder is copied as who dies there leaves it."""
    taken = list[Path]()

    def image() -> None:
        taken.append(images / str(len(taken)))
        shutil.copytree(folder, taken[-1])

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any, **given: Any) -> Any:
            image()
            try:
                return real(*values, **given)
            finally:
                image()

        return call

    with pytest.MonkeyPatch.context() as patch:
        for step in ("rename", "replace", "link", "unlink", "rmdir"):
            patch.setattr(os, step, watched(getattr(os, step)))
        yield taken


async def replacing(engine: FileBlobs) -> None:
    await put(engine, KEY, b"new")


async def deleting(engine: FileBlobs) -> None:
    await engine.delete(KEY)


@pytest.mark.parametrize(("change", "allowed"), [(replacing, [b"old", b"new"]), (deleting, [b"old", None])])
async def test_a_crash_at_any_step_leaves_the_blob_and_its_file_as_they_were_or_are(
    engine: FileBlobs,
    tmp_path: Path,
    change: Callable[[FileBlobs], Awaitable[None]],
    allowed: list[bytes | None],
) -> None:
    await put(engine, KEY, b"old")
    with crashes(engine.folder, tmp_path / "images") as images:
        await change(engine)
    seen = set[bytes | None]()
    for folder in images:
        after = made(folder)
        await after.start()
        found = await state(after, KEY)
        seen.add(found)
        assert named(folder) == ({} if found is None else {KEY: found})
        assert len(objects(folder)) == (0 if found is None else 2)
        await after.stop()
    assert seen == set(allowed)


class TestCopies:
    async def test_a_copy_opens_by_itself(self, engine: FileBlobs, tmp_path: Path) -> None:
        await put(engine, KEY, b"kept")
        assert await engine.checkpoint(str(tmp_path / "copy")) == 1
        await put(engine, KEY, b"later")
        copy = made(tmp_path / "copy")
        await copy.start()
        assert (await read(copy, KEY), named(copy.folder)) == (b"kept", {KEY: b"kept"})
        await copy.stop()

    async def test_a_copy_is_brought_back_with_its_files(self, engine: FileBlobs, tmp_path: Path) -> None:
        await put(engine, KEY, b"kept")
        await engine.checkpoint(str(tmp_path / "copy"))
        await engine.delete(KEY)
        await put(engine, "own", b"own")
        assert await engine.restore(str(tmp_path / "copy")) == 1
        assert (await read(engine, KEY), named(engine.folder)) == (b"kept", {KEY: b"kept", "own~": b"own"})

    async def test_one_that_cannot_be_brought_back_leaves_nothing(self, engine: FileBlobs, tmp_path: Path) -> None:
        await put(engine, KEY)
        await engine.checkpoint(str(tmp_path / "copy"))
        await engine.delete(KEY)
        with refusing("fsync", 300, after=False), pytest.raises(Unavailable):
            await engine.restore(str(tmp_path / "copy"))
        assert (objects(engine.folder), named(engine.folder)) == ([], {})

    async def test_a_copy_of_the_other_layout_is_refused(self, engine: FileBlobs, tmp_path: Path) -> None:
        other = made(tmp_path / "other", "packed")
        await other.start()
        await put(other, KEY)
        await other.checkpoint(str(tmp_path / "copy"))
        await other.stop()
        with pytest.raises(InvalidArgument, match="have the layout packed, not plain"):
            await engine.restore(str(tmp_path / "copy"))
        assert await keys(engine) == []
        with pytest.raises(NotFound):
            await engine.head(KEY)
