from __future__ import annotations

import tomllib

from soundstage.runtime.settings import default_text, keys, settings
from soundstage.runtime.stagefile import load_config


def test_the_default_file_says_what_holds_without_one() -> None:
    written = settings(load_config(tree=tomllib.loads(default_text())))
    plain = settings(load_config())
    assert {setting.path: setting.value for setting in written} == {setting.path: setting.value for setting in plain}


def test_every_key_says_what_it_means() -> None:
    assert [key.path for key in keys() if not key.meaning] == []


def test_every_key_is_in_the_default_file() -> None:
    text = default_text()
    assert [key.path for key in keys() if f"{key.path.rpartition('.')[2]} = " not in text] == []


def test_keys_carry_type_default_and_bounds() -> None:
    by_path = {key.path: key for key in keys()}
    assert by_path["http.port"][1:3] == ("integer", "7777")
    assert by_path["http.port"].bounds == "0 to 65,535"
    assert by_path["defaults.quotas.reads_per_second"].bounds == "0.000001 to 1,000,000,000"
    assert by_path["control.poll_interval"].bounds == "10ms to 1h"
    assert by_path["engines.NAME.durability"].type == '"always" | "group" | "os"'
    assert by_path["defaults.quotas.in_flight"].default is None


def test_settings_tell_value_and_source() -> None:
    loaded = load_config(variables={"SOUNDSTAGE_HTTP__PORT": "80"})
    by_path = {setting.path: setting for setting in settings(loaded)}
    assert by_path["http.port"][1:] == ("80", "environment SOUNDSTAGE_HTTP__PORT")
    assert by_path["http.host"][1:] == ('"127.0.0.1"', "default")


def test_what_may_be_a_secret_is_hidden() -> None:
    loaded = load_config(
        tree={
            "systems": {"mailer": {"api_key": "k-123", "password": "hunter2", "sender": "me"}},
            "engines": {"a": {"url": "memory:", "password_file": "/run/password", "options": {"token": "t-1"}}},
        }
    )
    values = {setting.path: setting.value for setting in settings(loaded)}
    assert values["systems.mailer.api_key"] == values["systems.mailer.password"] == "(hidden)"
    assert values["engines.a.options.token"] == "(hidden)"
    assert values["systems.mailer.sender"] == '"me"'
    assert values["engines.a.password_file"] == '"/run/password"'


def test_values_are_written_as_toml_reads_them() -> None:
    tree = {"systems": {"x": {"list": [1, "a"], "table": {}, "on": True, "text": 'say "hi"\\'}}}
    values = {setting.path: setting.value for setting in settings(load_config(tree=tree))}
    for name, value in tree["systems"]["x"].items():
        assert tomllib.loads(f"v = {values[f'systems.x.{name}']}")["v"] == value
