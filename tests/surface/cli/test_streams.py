"""Uploads and downloads on the command line, on a stage opened by the command itself."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from tests.surface.cli.conftest import Cli
from xxhash import xxh3_128_hexdigest

from soundstage.surface.cli.streams import Watched

PLACE = ("--namespace", "films", "--id", "heat", "--key", "poster")
CONTENT = os.urandom(3 << 20)


@pytest.fixture(autouse=True)
def films(cli: Cli) -> None:
    assert cli("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv").code == 0


def test_a_file_is_put_and_got(cli: Cli) -> None:
    Path("a.bin").write_bytes(CONTENT)
    reply = cli("kv", "put-value", *PLACE, "--file", "a.bin").json
    assert (reply["size"], reply["checksum"]) == (len(CONTENT), xxh3_128_hexdigest(CONTENT))
    ended = cli("kv", "get-value", *PLACE, "--out", "b.bin")
    assert (ended.code, ended.out) == (0, "")
    assert Path("b.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("flags", [(), ("--file", "-")])
def test_standard_input_is_put(cli: Cli, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello world")))
    assert cli("kv", "put-value", *PLACE, *flags).json["size"] == 11


@pytest.mark.parametrize("flags", [(), ("--out", "-")])
def test_a_range_goes_to_standard_output(cli: Cli, flags: tuple[str, ...]) -> None:
    Path("a.txt").write_text("hello world")
    cli("kv", "put-value", *PLACE, "--file", "a.txt", "--ttl", "1d")
    assert cli("kv", "get-value", *PLACE, "--start", "6", *flags).out == "world"


def test_a_terminal_gets_no_bytes_and_brings_none(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    ended = cli("kv", "put-value", *PLACE)
    assert (ended.code, "--file" in ended.err) == (2, True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Terminal())
        ended = cli("kv", "get-value", *PLACE)
    assert (ended.code, "--out" in ended.err) == (2, True)


def test_a_file_that_is_not_there_is_told(cli: Cli) -> None:
    ended = cli("kv", "put-value", *PLACE, "--file", "nothing.bin")
    assert (ended.code, "nothing.bin" in ended.err) == (2, True)


def test_what_the_stage_refuses_ends_the_command(cli: Cli) -> None:
    ended = cli("kv", "get-value", *PLACE, "--out", "there.bin")
    assert (ended.code, Path("there.bin").exists()) == (1, False)
    assert "no item" in ended.err


def test_a_stream_is_read_as_it_is_and_its_reading_told() -> None:
    told: list[tuple[int, int | None]] = []
    watched = Watched(io.BytesIO(b"hello"), lambda done, total, note: told.append((done, total)))
    assert watched.seekable()
    assert (watched.read(2), watched.tell()) == (b"he", 2)
    watched.seek(0)
    assert watched.read() == b"hello"
    assert told == [(2, None), (5, None)]


def test_the_whole_of_a_file_is_known_beforehand(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    told: list[tuple[int, int | None]] = []
    with (tmp_path / "a").open("rb") as stream:
        Watched(stream, lambda done, total, note: told.append((done, total))).read(3)
    assert told == [(3, 5)]
