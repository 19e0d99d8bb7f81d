from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.runtime.doors import DoorInfo
from soundstage.runtime.stagefile import load_config
from soundstage.surface.cli.serving import Addresses
from soundstage.surface.cli.up import announce, serve

HERE = Addresses("http://127.0.0.1:1", None)


def test_people_get_a_line_each_for_console_folder_and_ready(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    announce(HERE, "kept", "table")
    assert capsys.readouterr().out.splitlines() == [
        "console http://127.0.0.1:1/",
        f"data    {tmp_path}/kept",
        "ready http://127.0.0.1:1",
    ]


def test_people_are_told_where_metrics_are_when_they_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Addresses("http://h:1", "http://h:2/metrics"), "memory:", "table")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "data    memory:",
        "metrics http://h:2/metrics",
        "ready http://h:1",
    ]


DOORS = [DoorInfo(name="resp", kind="resp", address="redis://h:3", connections=0, requests=0, failures=0)]


def test_people_are_told_where_doors_are(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Addresses("http://h:1", None, DOORS), "memory:", "table")
    assert capsys.readouterr().out.splitlines()[2:] == ["door    resp redis://h:3", "ready http://h:1"]


def test_programs_are_too(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Addresses("http://h:1", None, DOORS), "memory:", "jsonl")
    assert json.loads(capsys.readouterr().out.splitlines()[0])["doors"] == {"resp": "redis://h:3"}


def test_programs_get_an_object(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    announce(HERE, "kept", "jsonl")
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == {
        "event": "ready",
        "url": "http://127.0.0.1:1",
        "console": "http://127.0.0.1:1/",
        "data": f"{tmp_path}/kept",
        "pid": os.getpid(),
    }


def test_programs_get_the_line_that_scripts_wait_for_too(capsys: pytest.CaptureFixture[str]) -> None:
    announce(HERE, "kept", "jsonl")
    assert capsys.readouterr().out.splitlines()[1:] == ["ready http://127.0.0.1:1"]


async def test_it_serves_until_a_signal_comes(capsys: pytest.CaptureFixture[str]) -> None:
    serving = asyncio.create_task(serve(load_config(flags={"data": "memory:", "http.port": 0}), "table"))
    printed = ""
    for _ in range(3_000):
        printed += capsys.readouterr().out
        if "ready http" in printed:
            break
        await asyncio.sleep(0.01)
    assert "ready http" in printed
    assert not serving.done()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(serving, 30) == 0


def test_what_is_configured_wrongly_ends_it_with_2(cli: Cli) -> None:
    ended = cli("up", "--data", "memory:", "--host", "0.0.0.0", "--port", "0")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("\n") == 1


def test_programs_get_the_problem_as_json(cli: Cli) -> None:
    ended = cli("up", "--data", "memory:", "--host", "0.0.0.0", "--port", "0", "--output", "jsonl")
    assert ended.code == 2
    assert ended.problem["field"] == "http.host"


def test_a_flag_goes_before_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_HTTP__HOST", "192.0.2.1")
    assert "192.0.2.2 can be reached" in cli("up", "--data", "memory:", "--host", "192.0.2.2").err
    assert "192.0.2.1 can be reached" in cli("up", "--data", "memory:").err


def test_a_form_of_lines_that_is_none_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_OUTPUT", "xml")
    ended = cli("up", "--data", "memory:")
    assert (ended.code, ended.err) == (2, "soundstage: SOUNDSTAGE_OUTPUT is 'xml' (formats are table, json, jsonl)\n")
