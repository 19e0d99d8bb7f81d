from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.runtime.stagefile import load_config


def shown(cli: Cli, *flags: str) -> dict[str, tuple[str, str]]:
    """Value and source of every key in force."""
    reply = cli("config", "show", "--output", "json", *flags).json
    return {each["key"]: (each["value"], each["source"]) for each in reply["settings"]}


@pytest.fixture
def stage_file(tmp_path: Path) -> Path:
    (tmp_path / "stage.toml").write_text(
        "data = 'kept'\n[http]\nport = 1000\nhost = '127.0.0.2'\nmax_connections = 7\n"
    )
    return tmp_path / "stage.toml"


def test_defaults_are_a_good_configuration(cli: Cli) -> None:
    ended = cli("config", "check", "--output", "table")
    assert (ended.code, ended.out, ended.err) == (0, "ok: no stage file, defaults\n", "")


@pytest.mark.usefixtures("stage_file")
def test_a_good_stage_file_is_named(cli: Cli) -> None:
    ended = cli("config", "check", "--stage", "stage.toml", "--output", "table")
    assert (ended.code, ended.out) == (0, "ok: stage.toml\n")


def test_everything_that_is_wrong_is_told_at_once(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text(
        "[http]\nhost = '0.0.0.0'\n[namespaces.a]\nabstraction = 'kw'\n"
        "[namespaces.b]\nabstraction = 'kv'\nconfig.x = 1\n"
    )
    ended = cli("config", "check", "--stage", "stage.toml", "--output", "table")
    assert (ended.code, ended.out) == (2, "")
    assert [line.split()[1] for line in ended.err.splitlines()] == [
        "http.host:",
        "namespaces.a.abstraction:",
        "namespaces.b.config.x:",
    ]


def test_programs_get_the_problems_as_json(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text("[http]\nhost = '0.0.0.0'\n")
    ended = cli("config", "check", "--stage", "stage.toml")
    assert ended.code == 2
    assert (ended.json["ok"], ended.json["stage"]) == (False, "stage.toml")
    assert [problem["field"] for problem in ended.json["problems"]] == ["http.host"]


@pytest.mark.parametrize(("text", "field"), [("[http", None), ("[http]\nprot = 1", "http.prot")])
def test_a_file_that_cannot_be_read_is_a_problem_like_others(
    cli: Cli, tmp_path: Path, text: str, field: str | None
) -> None:
    (tmp_path / "stage.toml").write_text(text)
    ended = cli("config", "check", "--stage", "stage.toml")
    assert ended.code == 2
    assert [problem.get("field") for problem in ended.json["problems"]] == [field]


def test_variables_that_set_nothing_are_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_HTPP__PORT", "1")
    ended = cli("config", "check", "--output", "table")
    assert (ended.code, ended.err) == (
        0,
        "soundstage: the environment variable SOUNDSTAGE_HTPP__PORT sets nothing: it is no key\n",
    )
    assert cli("config", "check").json["ignored"] == ["SOUNDSTAGE_HTPP__PORT"]


@pytest.mark.parametrize("name", ["URL", "TOKEN", "TOKEN_FILE", "TIMEOUT", "CA", "DATASETS"])
def test_variables_of_the_command_line_are_no_mistake(cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SOUNDSTAGE_{name}", "x")
    assert cli("config", "check").json["ignored"] == []


def test_nothing_is_opened_by_a_check(cli: Cli, tmp_path: Path) -> None:
    cli("config", "check")
    cli("config", "show")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("stage_file")
def test_the_environment_goes_before_the_file_and_both_before_defaults(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSTAGE_HTTP__PORT", "2000")
    found = shown(cli, "--stage", "stage.toml")
    assert found["http.port"] == ("2000", "environment SOUNDSTAGE_HTTP__PORT")
    assert found["http.host"] == ('"127.0.0.2"', "stage.toml")
    assert found["http.max_body"] == ('"8MiB"', "default")


@pytest.mark.usefixtures("stage_file")
def test_a_flag_goes_before_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_DATA", "from-environment")
    assert shown(cli, "--stage", "stage.toml", "--data", "given")["data"] == ('"given"', "flag --data")
    assert shown(cli, "--stage", "stage.toml")["data"] == ('"from-environment"', "environment SOUNDSTAGE_DATA")


def test_the_stage_file_may_be_named_by_the_environment(
    cli: Cli, stage_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSTAGE_STAGE", str(stage_file))
    assert shown(cli)["http.port"] == ("1000", str(stage_file))


def test_secrets_are_hidden(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stage.toml").write_text(
        "[engines.x]\nurl = 'memory:'\npassword_file = '/run/secrets/x'\n"
        "options = {password = 'hunter2', api_key = 'hunter3'}\n"
    )
    monkeypatch.setenv("SOUNDSTAGE_TOKEN", "hunter4")
    monkeypatch.setenv("SOUNDSTAGE_ENGINES__X__OPTIONS__SECRET", "hunter5")
    for output in ("table", "json", "jsonl"):
        ended = cli("config", "show", "--stage", "stage.toml", "--output", output)
        assert ended.code == 0
        assert "hunter" not in ended.out + ended.err
        assert "/run/secrets/x" in ended.out


def test_the_variable_that_has_a_password_is_shown_and_not_what_it_has(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stage.toml").write_text("[engines.x]\nurl = 'kafka://ada@one'\npassword_env = 'EVENTS_PASSWORD'\n")
    monkeypatch.setenv("EVENTS_PASSWORD", "hunter2")
    for command in (("config", "show"), ("config", "check"), ("engines", "list")):
        ended = cli(*command, "--stage", "stage.toml")
        assert ended.code == 0
        assert "hunter2" not in ended.out + ended.err
    assert shown(cli, "--stage", "stage.toml")["engines.x.password_env"][0] == '"EVENTS_PASSWORD"'


@pytest.mark.parametrize("secret", ["hunter2", "HUNTER 2", "Hunter2!"])
def test_a_password_in_place_of_a_variables_name_is_refused_and_not_repeated(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    (tmp_path / "stage.toml").write_text(f"[engines.x]\nurl = 'kafka://ada@one'\npassword_env = '{secret}'\n")
    in_file = cli("config", "check", "--stage", "stage.toml")
    (tmp_path / "stage.toml").write_text("[engines.x]\nurl = 'kafka://ada@one'\n")
    monkeypatch.setenv("SOUNDSTAGE_ENGINES__X__PASSWORD_ENV", secret)
    in_variable = cli("config", "check", "--stage", "stage.toml")
    for ended in (in_file, in_variable):
        assert ended.code == 2
        assert "password_env" in ended.out + ended.err
        assert secret not in ended.out + ended.err


def test_the_default_is_a_stage_file_that_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    text = cli("config", "default").out
    (tmp_path / "stage.toml").write_text(text)
    assert load_config("stage.toml").config == load_config().config
    assert tomllib.loads(text)["http"]["port"] == 7777


def test_the_default_explains_every_key(cli: Cli) -> None:
    keys = cli("config", "default", "--output", "json").json["keys"]
    assert {"http.port", "engines.NAME.url", "auth.mode"} <= {key["key"] for key in keys}
    assert [key["key"] for key in keys if not key["meaning"]] == []


def test_a_stage_file_that_is_wrong_is_not_shown(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text("[http]\nport = 'x'")
    ended = cli("config", "show", "--stage", "stage.toml")
    assert (ended.code, ended.out) == (2, "")
    assert "http.port" in ended.err


def test_every_key_has_a_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with a value of one word; tables have one per entry."""
    keys = cli("config", "default", "--output", "json").json["keys"]
    plain = [
        key for key in keys if key.get("default") is not None and key["type"] != "table" and "NAME" not in key["key"]
    ]
    for key in plain:
        monkeypatch.setenv("SOUNDSTAGE_" + key["key"].replace(".", "__").upper(), key["default"].strip('"'))
    found = shown(cli)
    assert len(plain) > 30
    assert [key["key"] for key in plain if not found[key["key"]][1].startswith("environment SOUNDSTAGE_")] == []
    assert [name for name in os.environ if name.startswith("SOUNDSTAGE_")] != []
