"""`soundstage files`, on a stage opened by the command itself."""

from __future__ import annotations

import io
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.surface.cli.conftest import Cli

HELLO = b"hello world"


def send(cli: Cli, *more: str) -> dict[str, Any]:
    """What is printed of one file that was sent."""
    Path("a.txt").write_bytes(HELLO)
    ended = cli("files", "upload", "a.txt", *more)
    assert ended.code == 0
    return ended.json["files"][0]


def test_a_file_is_sent_under_its_name_and_type(cli: Cli) -> None:
    sent = send(cli)
    assert (sent["name"], sent["media_type"], sent["size"]) == ("a.txt", "text/plain", 11)
    assert sent["sha256"] == sha256(HELLO).hexdigest()


def test_what_is_said_of_it_goes_before(cli: Cli) -> None:
    sent = send(cli, "--name", "b.bin", "--media-type", "video/mp4", "--ttl", "1d")
    assert (sent["name"], sent["media_type"]) == ("b.bin", "video/mp4")


def test_several_are_sent_together(cli: Cli) -> None:
    for name in ("a.txt", "b.txt"):
        Path(name).write_bytes(name.encode())
    sent = cli("files", "upload", "a.txt", "b.txt").json["files"]
    assert [each["name"] for each in sent] == ["a.txt", "b.txt"]


def test_standard_input_is_sent(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(HELLO)))
    sent = cli("files", "upload", "-", "--name", "piped").json["files"][0]
    assert (sent["name"], sent["size"]) == ("piped", 11)


def test_what_is_sent_is_shown(cli: Cli) -> None:
    sent = send(cli)
    assert cli("files", "show", sent["blob"]).json == sent


def test_it_is_fetched_into_a_folder_and_replaces_nothing(cli: Cli) -> None:
    blob = send(cli)["blob"]
    cli("files", "download", blob, "--out", "there")
    ended = cli("files", "download", blob, "--out", "there")
    names = sorted(path.name for path in Path("there").iterdir())
    assert names == [f"a-{blob[-12:]}.txt", "a.txt"]
    assert ended.err == f"soundstage: wrote there/{names[0]}\n"
    assert {path.read_bytes() for path in Path("there").iterdir()} == {HELLO}


def test_it_is_deleted_once(cli: Cli) -> None:
    blob = send(cli)["blob"]
    assert cli("files", "delete", blob).json == {"blob": blob, "deleted": True}
    assert cli("files", "delete", blob).json == {"blob": blob, "deleted": False}
    ended = cli("files", "show", blob, "--output", "json")
    assert (ended.code, ended.problem["code"]) == (1, "not_found")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("upload", "none.txt"), "No such file"),
        (("upload", "a.txt", "b.txt", "--name", "c"), "one name is for one file"),
        (("upload", "a.txt", "--ttl", "soon"), "ttl"),
        (("show", "../a.txt", "--data", "memory:"), "is no id of a file"),
    ],
)
def test_what_cannot_be_is_told(cli: Cli, arguments: tuple[str, ...], told: str) -> None:
    Path("a.txt").write_bytes(HELLO)
    ended = cli("files", *arguments)
    assert ended.code != 0
    assert told in ended.err


def test_a_place_that_cannot_be_a_folder_is_told(cli: Cli) -> None:
    blob = send(cli)["blob"]
    ended = cli("files", "download", blob, "--out", "a.txt")
    assert ended.code == 1
    assert "cannot be made" in ended.err
