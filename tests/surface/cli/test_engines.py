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


def test_an_engine_is_tried_by_its_address(cli: Cli) -> None:
    (port,) = cli("engines", "check", "lru:", "--rounds", "2").json["ports"]
    assert (port["port"], port["problem"]) == ("cache", "")
    assert port["write"]["best"] <= port["write"]["worst"]


def test_an_engine_is_tried_by_its_name(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text("[engines.fast]\nurl = 'memory:'\n")
    found = cli("engines", "check", "fast", "--stage", "stage.toml").json["ports"]
    assert [port["port"] for port in found] == ["records", "blobs", "log", "search"]


def test_the_table_of_a_trial_has_its_times(cli: Cli) -> None:
    out = cli("engines", "check", "memory:", "--output", "table").out
    assert "connect" in out.splitlines()[0]
    assert "records" in out


def test_an_engine_that_cannot_be_reached_fails_the_check(cli: Cli) -> None:
    ended = cli("engines", "check", "memcached://127.0.0.1:1")
    assert ended.code == 1
    assert "did not answer" in ended.json["ports"][0]["problem"]


def test_what_is_neither_a_name_nor_an_address_is_refused(cli: Cli) -> None:
    ended = cli("engines", "check", "fast")
    assert ended.code == 2
    assert "known schemes" in ended.err
