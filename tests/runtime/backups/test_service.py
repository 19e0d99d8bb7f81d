from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soundstage.core.call import Call, Principal
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import AlreadyExists, Forbidden, InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import Instant
from soundstage.data.kv.api import KeyValue, PutItem
from soundstage.runtime.backups import Backup, Backups
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.copies import DRAFT, bring_back, copyable, whole
from soundstage.runtime.engines import Engines
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

ENGINES = {
    "default": {"url": "rocksdb:records", "low_water": "0B"},
    "blobs": {"url": "file:blobs", "low_water": "0B"},
}
CONFIG: dict[str, Any] = {"engines": ENGINES, "jobs": {"poll_interval": "10ms"}}


def open_stage(data: Path, **config: Any) -> Stage:
    return Stage.open(data=str(data), config={**CONFIG, **config})


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage on disk that carries jobs out, and in it the namespace `films`."""
    async with open_stage(tmp_path / "data") as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="films", abstraction="kv"))
        yield stage


@pytest.fixture
def backups(stage: Stage) -> Backups:
    return stage.client(Backups)


async def made(backups: Backups, name: str | None = None) -> Backup:
    return await (await backups.create(name=name)).result()


async def restored(backup: Backup, data: Path) -> None:
    """What `soundstage data restore` does."""
    configs = {name: msgspec.convert(each, EngineConfig, dec_hook=_plain) for name, each in ENGINES.items()}
    engines = Engines(configs, str(data), SystemEnvironment())
    await engines.start()
    try:
        await bring_back(copyable(engines), backup.folder, whole(backup.folder))
    finally:
        await engines.stop()


def _plain(type: Any, value: Any) -> Any:
    return type.parse(value)


async def test_a_backup_tells_what_it_holds_and_where(backups: Backups, tmp_path: Path) -> None:
    backup = await made(backups, "first")
    assert (backup.name, backup.folder) == ("first", str(tmp_path / "data" / "backups" / "first"))
    assert [(each.engine, each.blobs) for each in backup.engines] == [("default", 0), ("blobs", 0)]
    assert backup.size == sum(each.size for each in backup.engines) > 0


async def test_records_and_files_of_a_backup_come_back(stage: Stage, backups: Backups, tmp_path: Path) -> None:
    await stage.client(KeyValue, "films").put_items(id="1", items=[PutItem(key=b"k", value=b"v")])
    file = await stage.files.upload(b"content", name="a.txt")
    await restored(await made(backups), tmp_path / "other")
    async with open_stage(tmp_path / "other") as other:
        reply = await other.client(KeyValue, "films").get_items(id="1")
        assert [item.value for item in reply.items] == [b"v"]
        assert b"".join([chunk async for chunk in other.files.open(file)]) == b"content"


async def test_writes_go_on_during_a_backup_which_holds_all_that_were_answered_before(
    stage: Stage, backups: Backups, tmp_path: Path
) -> None:
    films = stage.client(KeyValue, "films")
    answered: list[int] = []
    begun, stopping = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        while not stopping.is_set():
            number = len(answered)
            # Two items of one call: a backup has both or none.
            items = [PutItem(key=key, value=b"%d" % number) for key in (b"a", b"b")]
            await films.put_items(id=f"{number}", items=items)
            answered.append(number)
            if number == 50:
                begun.set()

    writing = asyncio.ensure_future(write())
    await begun.wait()
    before = len(answered)
    backup = await made(backups)
    after = len(answered)
    stopping.set()
    await writing
    assert after > before
    await restored(backup, tmp_path / "other")
    async with open_stage(tmp_path / "other") as other:
        found = other.client(KeyValue, "films")
        for number in range(after + 1):
            values = [item.value for item in (await found.get_items(id=f"{number}")).items]
            assert values == [b"%d" % number] * 2 or (number >= before and values == [])


async def test_a_backup_without_a_name_is_called_after_the_moment_it_was_asked_for(backups: Backups) -> None:
    backup = await made(backups)
    asked = Instant.parse(backup.name[:10] + backup.name[10:].replace("-", ":"))
    assert 0 <= backup.made_at - asked < 60_000_000_000


async def test_backups_are_listed_by_name(backups: Backups) -> None:
    for name in ("b", "a"):
        await made(backups, name)
    assert [each.name for each in (await backups.list()).backups] == ["a", "b"]


async def test_backups_are_listed_page_by_page(backups: Backups) -> None:
    for name in ("a", "b", "c"):
        await made(backups, name)
    pages = [[each.name for each in page.backups] async for page in backups.list.pages(page_size=2)]
    assert pages == [["a", "b"], ["c"]]


async def test_before_the_first_one_there_is_none(backups: Backups) -> None:
    assert (await backups.list()).backups == []


async def test_what_else_lies_there_is_not_listed(backups: Backups) -> None:
    folder = Path((await made(backups, "a")).folder).parent
    (folder / "lost+found").mkdir()
    (folder / "note.txt").touch()
    assert [each.name for each in (await backups.list()).backups] == ["a"]


async def test_a_folder_that_cannot_be_listed_is_told(backups: Backups, tmp_path: Path) -> None:
    (tmp_path / "data" / "backups").touch()
    with pytest.raises(Unavailable, match="the folder of backups cannot be read"):
        await backups.list()


async def test_a_deleted_backup_is_gone(backups: Backups) -> None:
    backup = await made(backups, "a")
    assert (await backups.delete(name="a")).name == "a"
    assert os.listdir(os.path.dirname(backup.folder)) == []
    with pytest.raises(NotFound, match="there is no backup 'a'"):
        await backups.delete(name="a")


async def test_the_name_of_a_deletion_that_was_cut_off_is_free(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path((await made(backups, "a")).folder).parent

    def refuse(*args: Any) -> None:
        raise PermissionError(1, "not allowed")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", refuse)
        with pytest.raises(Unavailable, match="not allowed"):
            await backups.delete(name="a")
    assert (await backups.list()).backups == []
    await made(backups, "a")
    assert [path.name for path in folder.iterdir()] == ["a"]


async def test_what_is_no_backup_is_not_deleted(backups: Backups, tmp_path: Path) -> None:
    theirs = tmp_path / "data" / "backups" / "theirs"
    theirs.mkdir(parents=True)
    with pytest.raises(NotFound):
        await backups.delete(name="theirs")
    assert theirs.is_dir()


async def test_a_name_that_is_taken_is_refused_at_once(backups: Backups) -> None:
    await made(backups, "a")
    with pytest.raises(AlreadyExists, match="the backup 'a' exists"):
        await backups.create(name="a")


async def test_of_two_that_are_asked_for_by_one_name_one_is_made(backups: Backups) -> None:
    jobs = [await backups.create(name="a") for _ in range(2)]
    ended = await asyncio.gather(*(job.result() for job in jobs), return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["AlreadyExists", "Backup"]
    assert [each.name for each in (await backups.list()).backups] == ["a"]


@pytest.mark.parametrize("name", ["../a", "/tmp/a", "a/b", "", ".", "a b", f"a{DRAFT}"])
async def test_a_name_is_no_path(backups: Backups, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await backups.create(name=name)
    assert refused.value.field == "name"
    with pytest.raises(InvalidArgument):
        await backups.delete(name=name)
    assert not (tmp_path / "data" / "backups").exists()


async def test_a_job_begun_again_after_it_had_made_its_backup_has_made_it(stage: Stage, backups: Backups) -> None:
    job = await backups.create(name="a")
    first = await job.result()
    service: Any = stage.systems.service("backups")

    class Again:
        job_id = job.job_id

    call = Call(principal=Principal("root", {"*": ("admin",)}))
    request: Any = type("Request", (), {"name": "a"})
    assert await service.create(call, request, Again()) == first


async def test_what_a_job_left_that_died_is_cleared_by_the_next(backups: Backups, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "backups"
    left = folder / f"a.01a218be-6db3-7c6b-afaf-e699b241243a{DRAFT}"
    theirs = folder / f"notes{DRAFT}"
    left.mkdir(parents=True)
    theirs.mkdir()
    await made(backups, "b")
    assert sorted(path.name for path in folder.iterdir()) == ["b", f"notes{DRAFT}"]


async def test_the_stage_file_says_where_backups_lie(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    async with open_stage(tmp_path / "data", systems={"backups": {"folder": str(elsewhere)}}) as stage:
        assert (await made(stage.client(Backups), "a")).folder == str(elsewhere / "a")


async def test_a_folder_that_cannot_be_made_fails_the_job(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with open_stage(tmp_path / "data", systems={"backups": {"folder": str(tmp_path / "file" / "x")}}) as stage:
        with pytest.raises(SoundstageError, match=r"cannot be (written|read)"):
            await made(stage.client(Backups))


async def test_a_stage_in_memory_has_nothing_to_back_up() -> None:
    async with Stage.open(data="memory:") as stage:
        with pytest.raises(InvalidArgument, match="no engine of this configuration can be copied"):
            await stage.client(Backups).create()


@pytest.mark.parametrize("operation", ["create", "list", "delete"])
async def test_it_takes_the_role_admin_on_everything(stage: Stage, operation: str) -> None:
    visitor = Principal("visitor", {"*": ("write",), "films": ("admin",)})
    declared = stage.systems.operations("backups")[operation]
    fields = {"name": "a"} if operation == "delete" else {}
    with pytest.raises(Forbidden, match="may not backups/"):
        await stage.dispatch("backups", operation, Call(principal=visitor), declared.request(**fields))


async def test_a_backup_shows_how_far_it_is(backups: Backups, stage: Stage) -> None:
    job = await backups.create()
    await job.result()
    progress = (await stage.client(Jobs).get(job_id=job.job_id)).progress
    assert (progress.total, progress.unit) == (2, "engines")
