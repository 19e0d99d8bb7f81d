from __future__ import annotations

import asyncio
import socketserver
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.data.kv import KeyValue, PutItem
from soundstage.engines.host import HostServer
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.openers import HOST_SOCKET
from soundstage.runtime.stage import Stage


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


class Guarded(socketserver.StreamRequestHandler):
    """A memcached that lets nobody in."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            if line.startswith(b"set"):
                self.rfile.readline()
                self.wfile.write(b"CLIENT_ERROR authentication failure\r\n")
            else:
                self.wfile.write(b"CLIENT_ERROR unauthenticated\r\n")


@pytest.fixture
def guarded() -> Iterator[str]:
    """The URL of one."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Guarded) as server:
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"memcached://ada@127.0.0.1:{server.server_address[1]}?connect_within=30s"
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_wrong_password_is_told_with_what_to_do_and_not_repeated(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guarded: str, output: str
) -> None:
    monkeypatch.setenv("HOT_PASSWORD", "hunter2")
    (tmp_path / "stage.toml").write_text(f"[engines.hot]\nurl = '{guarded}'\npassword_env = 'HOT_PASSWORD'\n")
    ended = cli("engines", "check", "hot", "--stage", "stage.toml", "--output", output)
    assert ended.code == 1
    assert "does not know the user or the password" in ended.out
    assert "password_env" in ended.out
    assert "hunter2" not in ended.out + ended.err


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


def test_a_copy_holds_what_the_engine_does_and_takes_its_place(cli: Cli, tmp_path: Path) -> None:
    cli("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv")
    cli("kv", "put-items", "--namespace", "films", "--id", "alien", "--item", "year=1979")
    done = cli("engines", "copy", "default", "rocksdb:spare").json
    assert (done["finished"], done["rounds"]) == (True, 1)
    (tmp_path / "stage.toml").write_text("[engines.default]\nurl = 'rocksdb:spare'\n")
    found = cli("kv", "get-items", "--namespace", "films", "--id", "alien", "--stage", "stage.toml")
    assert "1979" in found.out


@asynccontextmanager
async def offered(stage: Stage, folder: Path) -> AsyncGenerator[None]:
    """Other processes may use the engines of the stage, as with `processes.shared`."""
    server = HostServer(stage.engines.offered(), folder / "soundstage-data" / HOST_SOCKET, stage.environment)
    await server.start()
    yield
    await server.stop()


def test_an_engine_is_copied_while_its_stage_is_up_and_then_the_rest(cli: Cli, tmp_path: Path) -> None:
    async def copied_while_it_is_up() -> Any:
        async with Stage.open(data="soundstage-data", variables={}) as stage, offered(stage, tmp_path):
            await stage.client(Namespaces).put(namespace=NamespaceSpec(name="films", abstraction="kv"))
            films = stage.client(KeyValue, "films")
            await films.put_items(id="alien", items=[PutItem(key=b"year", value=b"1979")])
            done = await asyncio.to_thread(cli, "engines", "copy", "default", "rocksdb:spare", "--running")
            await films.put_items(id="aliens", items=[PutItem(key=b"year", value=b"1986")])
            return done.json

    begun = asyncio.run(copied_while_it_is_up())
    done = cli("engines", "copy", "default", "rocksdb:spare", "--since", begun["until"]).json
    assert (begun["finished"], done["finished"]) == (False, True)
    (tmp_path / "stage.toml").write_text("[engines.default]\nurl = 'rocksdb:spare'\n")
    for film, year in (("alien", "1979"), ("aliens", "1986")):
        assert year in cli("kv", "get-items", "--namespace", "films", "--id", film, "--stage", "stage.toml").out


def test_a_copy_into_an_engine_that_holds_something_is_refused_unless_it_goes_on(cli: Cli) -> None:
    cli("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv")
    cli("engines", "copy", "default", "rocksdb:spare")
    ended = cli("engines", "copy", "default", "rocksdb:spare")
    assert (ended.code, "--since" in ended.err) == (1, True)


def test_a_copy_that_is_given_up_can_be_begun_again(cli: Cli) -> None:
    cli("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv")
    cli("engines", "copy", "default", "rocksdb:spare")
    assert cli("engines", "copy", "default", "rocksdb:spare", "--give-up").code == 0
    assert cli("engines", "copy", "default", "rocksdb:spare").json["finished"]


@pytest.mark.parametrize("words", [(), ("--running",), ("--give-up",)])
def test_a_data_folder_that_is_not_there_is_neither_copied_nor_made(
    cli: Cli, tmp_path: Path, words: tuple[str, ...]
) -> None:
    ended = cli("engines", "copy", "default", "rocksdb:spare", "--data", str(tmp_path / "mistyped"), *words)
    assert (ended.code, ended.out) == (2, "")
    assert "there is no folder" in ended.err
    assert not (tmp_path / "mistyped").exists()


def test_an_engine_is_no_copy_of_itself(cli: Cli) -> None:
    cli("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv")
    ended = cli("engines", "copy", "default", "default")
    assert (ended.code, "no copy of itself" in ended.err) == (2, True)


def test_an_engine_that_is_not_there_is_not_copied(cli: Cli) -> None:
    cli("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv")
    ended = cli("engines", "copy", "none", "memory:")
    assert (ended.code, "there is no engine 'none'" in ended.err) == (2, True)


def test_a_stage_that_is_not_up_is_not_copied_as_running(cli: Cli) -> None:
    cli("namespaces", "put", "--namespace.name", "films", "--namespace.abstraction", "kv")
    ended = cli("engines", "copy", "default", "memory:", "--running")
    assert (ended.code, "start that process if none runs" in ended.err) == (2, True)
