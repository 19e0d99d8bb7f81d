from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.core.size import Size
from soundstage.core.time import Instant
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.log.port import Entry, TopicSpec
from soundstage.engines.records.port import Records, TableSpec
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.copies import (
    MANIFEST,
    Back,
    Manifest,
    bring_back,
    copy,
    copyable,
    draft_of,
    manifest_of,
    place_in,
    whole,
)
from soundstage.runtime.engines import Engines
from soundstage.testing.blobs.calls import put, read

MADE_AT = Instant(1_700_000_000_000_000_000)

EMBEDDED = {"default": "rocksdb:records", "blobs": "file:blobs"}


@asynccontextmanager
async def opened(data: Path, urls: dict[str, str] = EMBEDDED) -> AsyncGenerator[Engines]:
    configs = {name: EngineConfig(url=url, low_water=Size(0)) for name, url in urls.items()}
    engines = Engines(configs, str(data), SystemEnvironment())
    await engines.start()
    try:
        yield engines
    finally:
        await engines.stop()


def records(engines: Engines) -> Records:
    return engines.get("default", "")


def blobs(engines: Engines) -> Blobs:
    return engines.blobs("blobs", "")


async def fill(engines: Engines) -> None:
    for name in ("films", "people"):
        await records(engines).create_table(TableSpec(name=name))
    await put(blobs(engines), "files/a", b"content")


def content(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def names(engines: Engines) -> list[str]:
    return sorted(spec.name for spec in await records(engines).tables())


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncGenerator[Engines]:
    """Engines that hold two tables and a blob."""
    async with opened(tmp_path / "data") as engines:
        await fill(engines)
        yield engines


@pytest.fixture
async def copied(stored: Engines, tmp_path: Path) -> str:
    target = str(tmp_path / "copy")
    await copy(copyable(stored), target, MADE_AT)
    return target


async def test_a_copy_says_what_is_in_it(copied: str) -> None:
    manifest = manifest_of(copied)
    default, files = manifest.parts
    assert (default.engine, default.tables, files.engine, files.blobs) == ("default", ["films", "people"], "blobs", 1)
    assert (manifest.made_at, manifest.left_out, manifest.size) == (MADE_AT, [], default.size + files.size)


async def test_a_copy_brings_all_of_it_back(copied: str, tmp_path: Path) -> None:
    async with opened(tmp_path / "other") as other:
        back = await bring_back(copyable(other), copied, whole(copied))
        assert back == [Back("default", tables=2), Back("blobs", blobs=1)]
        assert await names(other) == ["films", "people"]
        assert await read(blobs(other), "files/a") == b"content"


async def test_a_log_beside_records_is_copied_with_them_and_comes_back(stored: Engines, tmp_path: Path) -> None:
    log = stored.log("default", "")
    await log.create_topic(TopicSpec(name="plays", partitions=2))
    await log.append("plays", [Entry(b"a"), Entry(b"b")], partition=1)
    target = str(tmp_path / "copy")
    manifest = await copy(copyable(stored), target, MADE_AT)
    assert manifest.parts[0].topics == ["plays"]
    async with opened(tmp_path / "other") as other:
        await bring_back(copyable(other), target, whole(target))
        page = await other.log("default", "").read("plays", 1, 0)
    assert [each.value for each in page.entries] == [b"a", b"b"]


async def test_a_topic_that_is_there_is_not_written_over(stored: Engines, tmp_path: Path) -> None:
    target = str(tmp_path / "copy")
    await stored.log("default", "").create_topic(TopicSpec(name="plays"))
    await copy(copyable(stored), target, MADE_AT)
    async with opened(tmp_path / "other") as other:
        await other.log("default", "").create_topic(TopicSpec(name="plays"))
        with pytest.raises(AlreadyExists, match="plays"):
            await bring_back(copyable(other), target, whole(target))


async def test_one_table_comes_back_alone(copied: str, tmp_path: Path) -> None:
    async with opened(tmp_path / "other") as other:
        assert await bring_back(copyable(other), copied, whole(copied), ["films"]) == [Back("default", tables=1)]


async def test_what_is_there_is_not_written_over(stored: Engines, copied: str) -> None:
    with pytest.raises(AlreadyExists):
        await bring_back(copyable(stored), copied, whole(copied))


async def test_a_copy_leaves_nothing_beside_it(copied: str) -> None:
    assert content(Path(copied).parent) == ["copy", "data"]


async def test_a_folder_that_is_there_is_not_written_over(stored: Engines, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(AlreadyExists):
        await copy(copyable(stored), str(tmp_path / "copy"), MADE_AT)
    assert content(tmp_path) == ["copy", "data"]


async def test_a_folder_that_came_to_be_meanwhile_is_not_written_over(stored: Engines, tmp_path: Path) -> None:
    target = tmp_path / "copy"

    def told(done: int, engine: str) -> None:
        target.mkdir(exist_ok=True)
        (target / "theirs").touch()

    with pytest.raises(AlreadyExists):
        await copy(copyable(stored), str(target), MADE_AT, told=told)
    assert content(target) == ["theirs"]


async def test_what_is_next_is_told(stored: Engines, tmp_path: Path) -> None:
    heard: list[tuple[int, str]] = []

    def told(done: int, engine: str) -> None:
        heard.append((done, engine))

    await copy(copyable(stored), str(tmp_path / "copy"), MADE_AT, told=told)
    assert heard == [(0, "default"), (1, "blobs")]


async def test_a_disk_that_refuses_is_told(stored: Engines, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="the backup cannot be written"):
        await copy(copyable(stored), str(tmp_path / "file" / "copy"), MADE_AT)


async def test_a_copy_that_is_cancelled_leaves_nothing(stored: Engines, tmp_path: Path) -> None:
    begun = asyncio.Event()

    def told(done: int, engine: str) -> None:
        begun.set()

    copying = asyncio.ensure_future(copy(copyable(stored), str(tmp_path / "copy"), MADE_AT, told=told))
    await begun.wait()
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert content(tmp_path) == ["data"]


async def test_what_an_earlier_attempt_left_is_in_nobodys_way(stored: Engines, tmp_path: Path) -> None:
    target = str(tmp_path / "copy")
    os.makedirs(f"{draft_of(target, 'job')}/engine-default")
    assert (await copy(copyable(stored), target, MADE_AT, "job")).job == "job"


async def test_engines_in_memory_are_left_out_and_named(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", {**EMBEDDED, "scratch": "memory:"}) as engines:
        found = copyable(engines)
        assert (len(found), found.left_out) == (2, ["scratch"])


async def test_every_engine_that_holds_something_else_is_left_out_and_named(tmp_path: Path) -> None:
    others = {
        "films": "tantivy:films",
        "plays": "kafka://127.0.0.1:1",
        "views": "arrow:",
        "scratch": "memory:",
        "hot": "lru:",
    }
    configs = {name: EngineConfig(url=url) for name, url in {**EMBEDDED, **others}.items()}
    found = copyable(Engines(configs, str(tmp_path), SystemEnvironment()))
    assert found.left_out == ["films", "plays", "scratch", "views"]
    assert (list(found.records), list(found.blobs), list(found.logs)) == (["default"], ["blobs"], ["default"])


async def test_without_anything_to_copy_there_is_no_copy(tmp_path: Path) -> None:
    async with opened(tmp_path, {"default": "memory:"}) as engines:
        with pytest.raises(InvalidArgument, match="no engine of this configuration can be copied"):
            copyable(engines)


CLUSTER = {"default": "cassandra://127.0.0.1:1/suite", "plays": "kafka://127.0.0.1:1"}


def unopened(data: Path, urls: dict[str, str]) -> Engines:
    return Engines({name: EngineConfig(url=url) for name, url in urls.items()}, str(data), SystemEnvironment())


def test_where_all_is_on_other_machines_there_is_no_copy_and_the_reason_names_who_has_it(tmp_path: Path) -> None:
    engines = unopened(tmp_path, {**CLUSTER, "blobs": "s3://films?endpoint=http://127.0.0.1:1"})
    with pytest.raises(
        InvalidArgument, match=r"blobs, default, plays have what they hold .* on other machines"
    ) as error:
        copyable(engines)
    assert "by their own means" in str(error.value.hint)


def test_of_a_stage_on_a_cluster_its_files_are_copied_and_what_is_not_is_named(tmp_path: Path) -> None:
    found = copyable(unopened(tmp_path, {**CLUSTER, "blobs": "file:blobs"}))
    assert (list(found.records), list(found.blobs), found.left_out) == ([], ["blobs"], ["default", "plays"])


async def test_a_table_that_is_dropped_meanwhile_is_not_missed(
    stored: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = records(stored)
    checkpoint = engine.checkpoint

    async def dropping(folder: str) -> None:
        await engine.drop_table("people")
        await checkpoint(folder)

    monkeypatch.setattr(engine, "checkpoint", dropping)
    target = str(tmp_path / "copy")
    assert (await copy(copyable(stored), target, MADE_AT)).parts[0].tables == ["films"]
    async with opened(tmp_path / "other") as other:
        assert (await bring_back(copyable(other), target, whole(target)))[0] == Back("default", tables=1)


def test_a_name_that_is_no_path_has_a_place(tmp_path: Path) -> None:
    assert place_in(str(tmp_path), "a/../b") == str(tmp_path / "engine-a%2F..%2Fb")


def write(folder: Path, text: str) -> str:
    folder.mkdir()
    (folder / MANIFEST).write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("{", DataLoss, "is damaged"),
        ('{"parts": []}', DataLoss, "made_at"),
        (json.dumps({"format": 2, "made_at": "2026-01-01T00:00:00Z", "parts": []}), InvalidArgument, "newer release"),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    tmp_path: Path, text: str, error: type[SoundstageError], match: str
) -> None:
    with pytest.raises(error, match=match):
        manifest_of(write(tmp_path / "copy", text))


def test_a_folder_without_a_manifest_is_no_copy(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="holds no finished backup"):
        manifest_of(str(tmp_path))


def lack(copied: str) -> None:
    Path(copied, "engine-default", "CURRENT").unlink()


def grow(copied: str) -> None:
    Path(copied, "engine-blobs", "more").write_bytes(b"x")


def shorten(copied: str) -> None:
    path = next(path for path in Path(copied, "engine-blobs", "objects").rglob("*") if path.is_file())
    # Its bytes are shared with the engine: those there stay.
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])


@pytest.mark.parametrize("harm", [lack, grow, shorten])
async def test_a_copy_that_is_not_as_it_was_made_is_refused(copied: str, harm: Callable[[str], None]) -> None:
    assert isinstance(whole(copied), Manifest)
    harm(copied)
    with pytest.raises(DataLoss, match="and was made with"):
        whole(copied)


async def test_an_engine_that_the_copy_lacks_is_told(copied: str, tmp_path: Path) -> None:
    async with opened(tmp_path / "other", {**EMBEDDED, "more": "rocksdb:more"}) as other:
        with pytest.raises(NotFound, match="holds nothing of the engine 'more'"):
            await bring_back(copyable(other), copied, whole(copied))
        assert await names(other) == []


def say(copied: str, truth: str, other: str) -> None:
    """The manifest says something else than it did."""
    path = Path(copied, MANIFEST)
    path.write_text(path.read_text().replace(truth, other))


async def test_less_than_was_copied_is_told(copied: str, tmp_path: Path) -> None:
    say(copied, '"films"', '"films", "lost"')
    async with opened(tmp_path / "other") as other:
        with pytest.raises(DataLoss, match="1 tables of the engine 'default' did not come back"):
            await bring_back(copyable(other), copied, whole(copied))


async def test_fewer_files_than_were_copied_are_told(copied: str, tmp_path: Path) -> None:
    say(copied, '"blobs": 1', '"blobs": 3')
    async with opened(tmp_path / "other") as other:
        with pytest.raises(DataLoss, match="2 files of the engine 'blobs' did not come back"):
            await bring_back(copyable(other), copied, whole(copied))
