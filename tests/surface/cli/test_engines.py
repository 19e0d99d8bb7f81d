from __future__ import annotations

from pathlib import Path

from tests.surface.cli.conftest import Cli


def test_without_a_stage_file_the_engines_are_in_the_data_folder(cli: Cli) -> None:
    found = cli("engines", "list").json
    assert [(each["name"], each["url"], each["durability"]) for each in found["engines"]] == [
        ("default", "rocksdb:records", "group"),
        ("blobs", "file:blobs", "group"),
    ]
    assert found["data"] == "./soundstage-data"


def test_the_engines_of_the_stage_file_are_listed_as_configured(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text(
        "[engines.fast]\nurl = 'memory:'\n[engines.big]\nurl = 'rocksdb:big'\ndurability = 'os'\ncache = '1GiB'\n"
    )
    found = cli("engines", "list", "--stage", "stage.toml").json["engines"]
    assert {each["name"]: each["cache"] for each in found} == {
        "default": "256MiB",
        "blobs": "256MiB",
        "fast": "256MiB",
        "big": "1GiB",
    }
    assert {each["name"]: each["durability"] for each in found}["big"] == "os"


def test_no_engine_is_opened(cli: Cli, tmp_path: Path) -> None:
    cli("engines", "list")
    assert list(tmp_path.iterdir()) == []


def test_secrets_of_engines_are_not_listed(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text("[engines.x]\nurl = 'memory:'\noptions = {password = 'hunter2'}\n")
    ended = cli("engines", "list", "--stage", "stage.toml")
    assert ended.code == 0
    assert "hunter2" not in ended.out


def test_a_wrong_stage_file_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text("[engines.x]\nurl = 'rocksdb://ada:hunter2@host/x'\n")
    ended = cli("engines", "list", "--stage", "stage.toml")
    assert ended.code == 2
    assert "password_file" in ended.err
    assert "hunter2" not in ended.err
