from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.runtime.secrecy import HIDDEN
from soundstage.servers.catalogue import KINDS
from soundstage.servers.shelf import Shelf
from soundstage.servers.standing import Site

(MEMCACHED,) = (kind for kind in KINDS if kind.name == "memcached")


@pytest.fixture(autouse=True)
def own_folder(own_surroundings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of servers of its own, which has what is installed on this machine and nothing that runs."""
    folder = tmp_path / "servers"
    folder.mkdir()
    (folder / "installed").symlink_to(Shelf().folder / "installed")
    monkeypatch.setenv("SOUNDSTAGE_SERVERS", str(folder))
    yield folder
    Site(Shelf(folder)).down("memcached")


def test_all_kinds_are_listed_and_none_runs(cli: Cli) -> None:
    found = cli("servers", "status").json
    assert [each["name"] for each in found["servers"]] == [kind.name for kind in KINDS]
    assert not any(each["running"] for each in found["servers"])


def test_the_table_says_what_is_down(cli: Cli) -> None:
    lines = cli("servers", "status", "--output", "table").out.splitlines()
    assert sum(" down " in line for line in lines) == len(KINDS)


def test_a_server_that_is_up_is_shown_with_its_address_until_it_is_down(cli: Cli) -> None:
    (started,) = cli("servers", "up", "memcached").json["servers"]
    assert started["ready"]
    assert started["url"].startswith("memcached://127.0.0.1:")
    assert cli("servers", "status", "memcached").json["servers"] == [started]
    assert cli("servers", "down", "memcached").json == {"name": "memcached", "ran": True}
    assert not cli("servers", "status", "memcached").json["servers"][0]["running"]


def test_the_table_counts_nodes_and_those_that_are_missing(cli: Cli, own_folder: Path) -> None:
    assert "up, 2 nodes" in cli("servers", "up", "memcached", "--nodes", "2", "--output", "table").out
    state = Site(Shelf(own_folder)).state("memcached")
    assert state is not None
    os.kill(state.processes[0].pid, signal.SIGKILL)
    os.waitpid(state.processes[0].pid, 0)
    assert "1 of 2 run" in cli("servers", "status", "memcached", "--output", "table").out
    assert cli("servers", "down", "memcached").code == 0
    assert "down" in cli("servers", "status", "memcached", "--output", "table").out


def test_settings_are_given_by_name(cli: Cli) -> None:
    (started,) = cli("servers", "up", "memcached", "--set", "memory_mb=16", "--set", "threads=1").json["servers"]
    assert started["settings"] == {**MEMCACHED.settings, "memory_mb": "16", "threads": "1", "password": HIDDEN}


def test_a_password_is_not_shown(cli: Cli) -> None:
    given = ("--set", "user=ada", "--set", "password=hunter2")
    for shown in (cli("servers", "up", "memcached", *given), cli("servers", "status", "memcached")):
        assert shown.json["servers"][0]["ready"]
        assert "hunter2" not in shown.out + shown.err


def test_a_setting_without_a_value_is_refused(cli: Cli) -> None:
    ended = cli("servers", "up", "memcached", "--set", "memory_mb")
    assert ended.code == 2
    assert "'memory_mb' is not NAME=VALUE" in ended.err


def test_logs_are_shown_by_node(cli: Cli) -> None:
    cli("servers", "up", "memcached", "--nodes", "2")
    assert cli("servers", "logs", "memcached").json == {"nodes": [{"node": 0, "log": ""}, {"node": 1, "log": ""}]}
    assert cli("servers", "logs", "memcached", "--output", "table").out == "== node 0\n\n== node 1\n\n"


def test_what_was_never_up_has_no_logs(cli: Cli) -> None:
    ended = cli("servers", "logs", "memcached")
    assert ended.code == 1
    assert "soundstage servers up memcached starts it" in ended.err


def test_what_is_installed_is_told(cli: Cli) -> None:
    expected = {"name": "memcached", "version": MEMCACHED.version}
    assert cli("servers", "install", "memcached").json == {"servers": [expected]}


def test_a_server_must_be_named(cli: Cli) -> None:
    ended = cli("servers", "install")
    assert ended.code == 2
    assert "see soundstage servers status" in ended.err


def test_an_unknown_server_is_refused_with_the_nearest(cli: Cli) -> None:
    ended = cli("servers", "up", "memcache")
    assert ended.code != 0
    assert "did you mean 'memcached'?" in ended.err
