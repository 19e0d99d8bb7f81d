from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.core.environment import SystemEnvironment
from soundstage.core.size import Size
from soundstage.engines.blobs.file import FileBlobs, FileOptions
from soundstage.testing.blobs.calls import put, read

STAGE = '[namespaces.profiles]\nabstraction = "kv"\n'
ITEMS = ("--namespace", "profiles", "--id", "u1")


@pytest.fixture(autouse=True)
def stage_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stage.toml").write_text(STAGE)
    monkeypatch.setenv("SOUNDSTAGE_STAGE", "stage.toml")


@pytest.fixture
def stored(cli: Cli) -> None:
    assert cli("kv", "put-items", *ITEMS, "--item", "name=Ada").code == 0


def values(cli: Cli, *flags: str) -> list[str]:
    return [item["value"] for item in cli("kv", "get-items", *ITEMS, *flags).json["items"]]


@pytest.mark.usefixtures("stored")
def test_a_backup_tells_what_it_copied(cli: Cli, tmp_path: Path) -> None:
    ended = cli("data", "backup", "copy")
    assert ended.code == 0
    default, blobs = ended.json["engines"]
    assert (default["engine"], default["folder"]) == ("default", str(tmp_path / "copy" / "engine-default"))
    assert default["tables"] >= 1
    assert (blobs["engine"], blobs["folder"], blobs["blobs"]) == ("blobs", str(tmp_path / "copy" / "engine-blobs"), 0)


@pytest.mark.usefixtures("stored")
def test_a_backup_brings_everything_back(cli: Cli, tmp_path: Path) -> None:
    cli("data", "backup", "copy")
    restored = cli("data", "restore", "copy", "--data", "other")
    assert {engine["to"] for engine in restored.json["engines"]} == {str(tmp_path / "other")}
    assert values(cli, "--data", "other") == ["Ada"]


def test_files_are_brought_back_too(cli: Cli, tmp_path: Path) -> None:
    async def kept(data: str) -> FileBlobs:
        engine = FileBlobs(str(tmp_path / data / "blobs"), FileOptions(low_water=Size(0)), SystemEnvironment())
        await engine.start()
        return engine

    async def fill() -> None:
        engine = await kept("soundstage-data")
        await put(engine, "files/a", b"content")
        await engine.stop()

    async def content() -> bytes:
        engine = await kept("other")
        found = await read(engine, "files/a")
        await engine.stop()
        return found

    asyncio.run(fill())
    cli("data", "backup", "copy")
    assert cli("data", "restore", "copy", "--data", "other").code == 0
    assert asyncio.run(content()) == b"content"


@pytest.mark.usefixtures("stored")
def test_what_comes_after_a_backup_is_not_in_it(cli: Cli) -> None:
    cli("data", "backup", "copy")
    cli("kv", "put-items", *ITEMS, "--item", "name=Grace")
    cli("data", "restore", "copy", "--data", "other")
    assert values(cli, "--data", "other") == ["Ada"]
    assert values(cli) == ["Grace"]


@pytest.mark.usefixtures("stored")
def test_one_table_may_be_restored(cli: Cli) -> None:
    cli("data", "backup", "copy")
    ended = cli("data", "restore", "copy", "--table", "system/tokens", "--data", "other")
    assert (ended.code, ended.json["engines"][0]["tables"]) == (0, 1)


@pytest.mark.usefixtures("stored")
def test_a_table_that_is_not_in_the_backup_is_refused(cli: Cli) -> None:
    cli("data", "backup", "copy")
    ended = cli("data", "restore", "copy", "--table", "nothing", "--data", "other")
    assert ended.code == 1
    assert "nothing" in ended.err


@pytest.mark.usefixtures("stored")
def test_tables_that_are_there_are_not_written_over(cli: Cli) -> None:
    cli("data", "backup", "copy")
    ended = cli("data", "restore", "copy")
    assert ended.code == 1
    assert "restore into a folder that is not there yet, by --data" in ended.err
    assert values(cli) == ["Ada"]


@pytest.mark.usefixtures("stored")
def test_a_folder_that_exists_is_not_backed_up_into(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    ended = cli("data", "backup", "copy")
    assert ended.code == 2
    assert "copy exists" in ended.err
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_backup_that_is_not_there_is_not_restored(cli: Cli, tmp_path: Path) -> None:
    ended = cli("data", "restore", "absent")
    assert ended.code == 2
    assert "there is no folder absent" in ended.err
    assert not (tmp_path / "soundstage-data").exists()


def test_a_folder_that_is_no_backup_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    ended = cli("data", "restore", "copy")
    assert ended.code == 2
    assert "copy holds no finished backup" in ended.err
    assert not (tmp_path / "soundstage-data").exists()


@pytest.mark.usefixtures("stored")
def test_a_backup_that_lacks_a_file_is_not_restored(cli: Cli, tmp_path: Path) -> None:
    cli("data", "backup", "copy")
    (tmp_path / "copy" / "engine-default" / "CURRENT").unlink()
    ended = cli("data", "restore", "copy", "--data", "other")
    assert (ended.code, "fetch it again" in ended.err) == (1, True)
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("stored")
def test_engines_that_the_backup_has_nothing_of_are_told(cli: Cli, tmp_path: Path) -> None:
    cli("data", "backup", "copy")
    (tmp_path / "more.toml").write_text('[engines.more]\nurl = "rocksdb:more"\n')
    ended = cli("data", "restore", "copy", "--data", "other", "--stage", "more.toml")
    assert (ended.code, "the backup holds nothing of the engine 'more'" in ended.err) == (1, True)


@pytest.mark.usefixtures("stored")
def test_memory_has_nothing_to_copy(cli: Cli) -> None:
    cli("data", "backup", "copy")
    for command in (("backup", "other"), ("restore", "copy")):
        ended = cli("data", *command, "--data", "memory:")
        assert (ended.code, "no engine of this configuration can be copied" in ended.err) == (2, True)


def test_what_has_no_copy_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mixed.toml").write_text('[engines.scratch]\nurl = "memory:"\n')
    cli("namespaces", "list", "--stage", "mixed.toml")
    cli("namespaces", "put", "--namespace.name", "x", "--namespace.abstraction", "kv", "--stage", "mixed.toml")
    assert cli("data", "backup", "copy", "--stage", "mixed.toml").json["left_out"] == ["scratch"]
    restored = cli("data", "restore", "copy", "--data", "other")
    assert restored.json["left_out"] == ["scratch"]


@pytest.mark.parametrize("command", [("backup", "copy"), ("repair", "--accept-loss")])
def test_a_folder_that_is_not_there_is_told_and_not_made(cli: Cli, tmp_path: Path, command: tuple[str, str]) -> None:
    ended = cli("data", *command, "--data", "typo")
    assert (ended.code, "there is no folder typo" in ended.err) == (2, True)
    assert not (tmp_path / "typo").exists()
    assert not (tmp_path / "copy").exists()


def test_a_folder_of_something_else_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    ended = cli("data", "backup", "copy", "--data", "photos")
    assert (ended.code, "the folder photos holds no data of a stage" in ended.err) == (2, True)
    assert list((tmp_path / "photos").iterdir()) == []


@pytest.mark.usefixtures("stored")
def test_a_repair_wants_to_be_told_that_loss_is_accepted(cli: Cli) -> None:
    ended = cli("data", "repair")
    assert ended.code == 2
    assert "--accept-loss" in ended.err
    assert values(cli) == ["Ada"]


@pytest.mark.usefixtures("stored")
def test_a_healthy_folder_is_whole_after_a_repair(cli: Cli, tmp_path: Path) -> None:
    ended = cli("data", "repair", "--accept-loss")
    assert ended.code == 0
    assert [each["folder"] for each in ended.json["folders"]] == [str(tmp_path / "soundstage-data" / "records")]
    assert values(cli) == ["Ada"]
