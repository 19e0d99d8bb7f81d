"""`soundstage up` starts everything configured and says where it is."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.e2e.conftest import Cli, Start

pytestmark = pytest.mark.slow


def got(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def test_it_prints_console_folder_and_ready(start: Start, tmp_path: Path) -> None:
    stage = start("up", "--port", "0")
    url = stage.ready()
    assert stage.so_far.splitlines() == [f"console {url}/", f"data    {tmp_path}/soundstage-data", f"ready {url}"]
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", url)


def test_once_it_is_ready_health_calls_and_console_answer(start: Start) -> None:
    url = start("up", "--port", "0").ready()
    assert json.loads(got(f"{url}/health/ready")) == {"status": "ready", "reasons": []}
    assert json.loads(got(f"{url}/health/live")) == {"status": "live"}
    assert "<html" in got(f"{url}/")
    assert "soundstage_calls_started_total" in got(f"{url}/metrics")


def test_programs_get_json_lines(start: Start, tmp_path: Path) -> None:
    stage = start("up", "--port", "0", "--output", "jsonl")
    ready = json.loads(stage.line("{"))
    assert ready == {
        "event": "ready",
        "url": ready["url"],
        "console": f"{ready['url']}/",
        "data": f"{tmp_path}/soundstage-data",
        "pid": stage.pid,
    }
    assert json.loads(got(f"{ready['url']}/health/ready"))["status"] == "ready"


def test_the_form_of_its_lines_may_come_from_the_environment(start: Start) -> None:
    stage = start("up", "--port", "0", variables={"SOUNDSTAGE_OUTPUT": "jsonl"})
    assert json.loads(stage.line("{"))["event"] == "ready"


def test_port_0_is_a_free_port_each_time(start: Start) -> None:
    first, second = (start("up", "--port", "0", "--data", name) for name in ("one", "two"))
    assert first.ready() != second.ready()


def test_what_was_written_is_there_after_a_restart(start: Start, cli: Cli) -> None:
    first = start("up", "--port", "0")
    first.ready()
    cli("namespaces", "put", "--namespace.name", "profiles", "--namespace.abstraction", "kv")
    cli("kv", "put-items", "--namespace", "profiles", "--id", "u1", "--item", "name=Ada")
    assert first.stop().code == 0
    url = start("up", "--port", "0").ready()
    found = cli("kv", "get-items", "--namespace", "profiles", "--id", "u1", "--url", url)
    assert [(item["key"], item["value"]) for item in found.json["items"]] == [("name", "Ada")]


def test_memory_leaves_no_folder(start: Start, tmp_path: Path) -> None:
    stage = start("up", "--port", "0", "--data", "memory:")
    stage.ready()
    assert "data    memory:" in stage.so_far
    assert stage.stop().code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_stage_file_says_what_is_served(start: Start, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text('data = "kept"\n[http]\nport = 0\n[namespaces.films]\nabstraction = "kv"\n')
    stage = start("up", "--stage", "stage.toml")
    listed = cli("namespaces", "list", "--url", stage.ready()).json["namespaces"]
    assert [(each["name"], each["managed_by"]) for each in listed] == [("films", "file")]
    assert (tmp_path / "kept").is_dir()


def test_metrics_may_have_a_listener_of_their_own(start: Start) -> None:
    stage = start("up", "--port", "0", "--metrics-listen", "127.0.0.1:0", "--output", "jsonl")
    ready = json.loads(stage.line("{"))
    assert urlsplit(ready["metrics"]).port not in (None, 0, urlsplit(ready["url"]).port)
    assert "soundstage_calls_started_total" in got(ready["metrics"])


def test_standard_error_stays_empty_while_all_is_well(start: Start) -> None:
    stage = start("up", "--port", "0")
    stage.ready()
    assert stage.stop().err == ""


def test_lines_are_not_held_back_by_a_pipe(start: Start) -> None:
    """Whoever waits for `ready` reads a pipe: `ready` above would never return otherwise."""
    stage = start("up", "--port", "0")
    assert stage.ready()
    assert stage.process.poll() is None
