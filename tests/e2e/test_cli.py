"""The command line against a running stage, and without one, as users type it."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.e2e.conftest import Cli, Start
from tests.e2e.processes import Ended, Place, until

pytestmark = pytest.mark.slow


class Served(NamedTuple):
    place: Place
    url: str

    def kv(self, verb: str, *flags: str, output: str = "json", given: bytes | None = None) -> Ended:
        flags = ("--namespace", "profiles", *flags, "--url", self.url, "--output", output)
        return self.place.cli("kv", verb, *flags, given=given)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running stage with the namespace `profiles`."""
    with Place(tmp_path_factory.mktemp("cli")) as place:
        (place.folder / "stage.toml").write_text('[http]\nport = 0\n[namespaces.profiles]\nabstraction = "kv"\n')
        yield Served(place, place.start("up", "--stage", "stage.toml").ready())


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_item_is_stored_and_read(served: Served) -> None:
    put = served.kv("put-items", "--id", "u1", "--item", "name=Ada")
    assert (put.code, put.err) == (0, "")
    (item,) = served.kv("get-items", "--id", "u1").json["items"]
    assert (item["key"], item["value"]) == ("name", "Ada")
    assert item["metadata"]["token"] == put.json["idempotency_token"]


def test_bytes_are_typed_and_printed_in_one_notation(served: Served) -> None:
    (served.place.folder / "picture").write_bytes(b"\x89PNG")
    served.kv(
        "put-items", "--id", "bytes", "--item", "a=text:@home", "--item", "b=hex:00ff", "--item", "c=base64:AP8=",
        "--item", "d=@picture", "--item", "hex:65=x=y=z", "--item", "f=Zürich",
    )  # fmt: skip
    items = served.kv("get-items", "--id", "bytes").json["items"]
    assert {item["key"]: item["value"] for item in items} == {
        "a": "text:@home", "b": "hex:00ff", "c": "hex:00ff", "d": "hex:89504e47", "e": "x=y=z", "f": "Zürich",
    }  # fmt: skip


def test_arguments_that_are_no_utf_8_are_kept_as_they_are(served: Served) -> None:
    served.kv("put-items", "--id", "raw", "--item", "k=" + b"\xff\xfe".decode(errors="surrogateescape"))
    (item,) = served.kv("get-items", "--id", "raw").json["items"]
    assert item["value"] == "hex:fffe"


def test_a_whole_message_comes_on_standard_input(served: Served) -> None:
    message = b'{"id": "in", "items": [{"key": "aw==", "value": "dg=="}]}'
    assert served.kv("put-items", "--input", "-", given=message).code == 0
    (item,) = served.kv("get-items", "--id", "in").json["items"]
    assert (item["key"], item["value"]) == ("k", "v")


def test_a_predicate_is_given_by_flags(served: Served) -> None:
    served.kv("put-items", "--id", "range", *(f"--item={key}=v" for key in "abcd"))
    by_range = served.kv(
        "get-items", "--id", "range", "--predicate.match-range.start", "b", "--predicate.match-range.end", "d"
    )
    assert [item["key"] for item in by_range.json["items"]] == ["b", "c"]
    served.kv("delete-items", "--id", "range", "--predicate.match-keys.key", "a", "--predicate.match-keys.key", "b")
    rest = served.kv("get-items", "--id", "range", "--selection.reverse").json["items"]
    assert [item["key"] for item in rest] == ["d", "c"]
    assert served.kv("delete-items", "--id", "range", "--predicate.match-all").code == 0
    assert served.kv("count-items", "--id", "range").json == {"count": 0, "exact": True}


def test_the_same_reply_as_json_lines_and_table(served: Served) -> None:
    served.kv("put-items", "--id", "forms", "--item", "a=1", "--item", "b=2")
    as_json = served.kv("get-items", "--id", "forms").json["items"]
    lines = [json.loads(line) for line in served.kv("get-items", "--id", "forms", output="jsonl").out.splitlines()]
    assert lines[:2] == as_json
    table = served.kv("get-items", "--id", "forms", output="table").out.splitlines()
    assert table[0].split() == ["key", "value", "generation_time", "token", "size"]
    assert [line.split()[:2] for line in table[2:4]] == [["a", "1"], ["b", "2"]]


def test_a_terminal_gets_a_table_that_fits_it(served: Served) -> None:
    served.kv("put-items", "--id", "wide", "--item", f"key={'value ' * 40}")
    flags = ("--namespace", "profiles", "--id", "wide", "--url", served.url)
    ended = served.place.cli("kv", "get-items", *flags, terminal=60)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", ended.out).splitlines()
    assert ended.code == 0
    assert lines[0].split()[:2] == ["key", "value"]
    # Below the table are values without a space, which are never broken.
    assert max(map(len, lines[:6])) <= 60
    assert any(line.startswith("left out: ") for line in lines)


def test_exit_codes_tell_what_went_wrong(served: Served) -> None:
    here = ("--url", served.url)
    ends = {
        served.place.cli("kv", "count-items", "--namespace", "profiles", "--id", "1", *here).code,
        served.place.cli("kv", "count-items", "--namespace", "absent", "--id", "1", *here).code,
        served.place.cli("kv", "count-items", "--namespace", "profiles", *here).code,
        served.place.cli(
            "kv", "count-items", "--namespace", "profiles", "--id", "1", "--url", "http://127.0.0.1:1"
        ).code,
    }
    assert ends == {0, 1, 2, 3}


def test_a_failure_is_told_on_standard_error_alone(served: Served) -> None:
    ended = served.kv("get-items", "--id", "1", "--page-token", "forged", output="table")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[0].startswith("soundstage: ")
    assert {line.split(":")[0].strip() for line in ended.err.splitlines()[1:]} >= {"code", "hint", "request"}


def test_programs_get_the_failure_as_json(served: Served) -> None:
    ended = served.kv("get-items", "--id", "1", "--page-token", "forged")
    assert ended.problem["type"] == "urn:soundstage:error:invalid_argument"
    assert ended.problem["field"] == "page_token"


def test_where_a_folder_is_held_the_holder_is_asked_and_named(served: Served) -> None:
    ended = served.place.cli("namespaces", "list", "--stage", "stage.toml")
    assert [each["name"] for each in ended.json["namespaces"]] == ["profiles"]
    assert ended.err == (
        f"soundstage: {served.place.folder}/soundstage-data/records is open in the process "
        f"{served.place.started[0].pid}; talking to it at {served.url}\n"
    )


def test_without_a_stage_running_the_folder_is_opened(cli: Cli, tmp_path: Path) -> None:
    assert cli("namespaces", "put", "--namespace.name", "profiles", "--namespace.abstraction", "kv").code == 0
    put = cli("kv", "put-items", "--namespace", "profiles", "--id", "u1", "--item", "name=Ada")
    assert (put.code, put.err) == (0, "")
    (item,) = cli("kv", "get-items", "--namespace", "profiles", "--id", "u1").json["items"]
    assert item["value"] == "Ada"
    assert (tmp_path / "soundstage-data").is_dir()


def test_the_environment_may_name_stage_and_form(served: Served) -> None:
    variables = {"SOUNDSTAGE_URL": served.url, "SOUNDSTAGE_OUTPUT": "jsonl"}
    (line,) = served.place.cli("namespaces", "list", variables=variables).out.splitlines()
    assert json.loads(line)["name"] == "profiles"


def test_commands_beside_each_other_wait_for_the_folder(place: Place) -> None:
    place.cli("namespaces", "put", "--namespace.name", "profiles", "--namespace.abstraction", "kv")
    puts = [
        place.start("kv", "put-items", "--namespace", "profiles", "--id", f"u{number}", "--item", "a=b")
        for number in range(4)
    ]
    assert [each.ended().code for each in puts] == [0, 0, 0, 0]
    scanned = place.cli("kv", "scan-items", "--namespace", "profiles").json["records"]
    assert sorted(record["id"] for record in scanned) == ["u0", "u1", "u2", "u3"]


def test_a_deadline_ends_a_call_that_nobody_answers(cli: Cli, silent: str) -> None:
    ended = cli("namespaces", "list", "--url", silent, "--timeout", "200ms", "--output", "json")
    assert (ended.code, ended.problem["code"]) == (1, "deadline")


@pytest.mark.parametrize("terminal", [None, 80])
def test_ctrl_c_ends_a_command_that_waits(start: Start, silent: str, terminal: int | None) -> None:
    waiting = start("namespaces", "list", "--url", silent, "--timeout", "1h", terminal=terminal)
    connected(waiting.pid, int(silent.rpartition(":")[2]))
    if terminal is None:
        waiting.signal(signal.SIGINT)
    else:
        waiting.type(b"\x03")
    ended = waiting.ended()
    assert ended.code == 130
    assert "Traceback" not in ended.out + ended.err


def connected(pid: int, port: int) -> None:
    """Returns once the process has a connection to `port`."""
    until(lambda: f":{port:04X} 01 " in Path(f"/proc/{pid}/net/tcp").read_text())
