from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from soundstage.client import Connection
from soundstage.core.errors import Unavailable
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.namespaces.api import ListNamespaces, NamespacesCalls
from soundstage.runtime.stage import Stage
from soundstage.surface.cli import target
from soundstage.surface.cli.failure import CommandFailure
from soundstage.surface.cli.options import Folder, Target
from soundstage.surface.cli.target import load, reached, remote_url, stage_file
from soundstage.surface.http.server import Server

LIST = NamespacesCalls.list
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[str]:
    """The address of a stage that has the folder `held` open."""
    async with Stage.open(data=tmp_path / "held") as stage:
        server = Server(stage, HttpConfig(port=0))
        try:
            yield await server.start()
        finally:
            await server.stop()


async def listed(wanted: Target) -> int:
    async with reached(wanted) as stage:
        return len((await stage.invoke(LIST, ListNamespaces())).namespaces)


async def test_a_stage_in_memory_is_opened_here() -> None:
    async with reached(Target(data="memory:")) as stage:
        assert isinstance(stage.invoker, Stage)
        assert (await stage.invoke(LIST, ListNamespaces())).namespaces == []


async def test_an_address_is_connected_to(served: str) -> None:
    async with reached(Target(url=served)) as stage:
        assert isinstance(stage.invoker, Connection)
        assert (await stage.invoke(LIST, ListNamespaces())).namespaces == []


async def test_where_a_folder_is_held_its_holder_is_asked_and_named(
    served: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await listed(Target(data="held")) == 0
    assert capsys.readouterr().err == (
        f"soundstage: {os.getcwd()}/held/records is open in the process {os.getpid()}; talking to it at {served}\n"
    )


async def test_a_stage_without_records_on_disk_is_found_by_its_other_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text('data = "held"\n[engines.default]\nurl = "memory:"\n')
    async with Stage.open(file) as stage:
        server = Server(stage, HttpConfig(port=0))
        try:
            url = await server.start()
            assert await listed(Target(stage=str(file))) == 0
        finally:
            await server.stop()
    assert capsys.readouterr().err == (
        f"soundstage: {os.getcwd()}/held/blobs is open in the process {os.getpid()}; talking to it at {url}\n"
    )


async def test_a_holder_that_tells_no_address_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "HOLDER_WITHIN_S", 0.1)
    async with Stage.open(data="held"):
        with pytest.raises(CommandFailure, match=f"is open in the process {os.getpid()}") as refused:
            await listed(Target(data="held"))
    assert refused.value.exit_code == 2


async def test_a_holder_that_is_soon_done_is_waited_for() -> None:
    holder = Stage.open(data="held")
    await holder.start()
    asking = asyncio.create_task(listed(Target(data="held")))
    await asyncio.sleep(0.1)
    assert not asking.done()
    await holder.stop()
    assert await asking == 0


async def test_a_folder_that_cannot_be_opened_is_a_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandFailure, match="cannot be used") as refused:
        await listed(Target(data="file"))
    assert refused.value.exit_code == 2


async def test_where_nobody_answers_the_command_ends_with_3() -> None:
    with pytest.raises(CommandFailure) as refused:
        await listed(Target(url=NOWHERE))
    assert refused.value.exit_code == 3
    assert isinstance(refused.value.error, Unavailable)


async def test_a_call_that_fails_ends_with_1(served: str) -> None:
    with pytest.raises(CommandFailure) as refused:
        async with reached(Target(url=served)) as stage:
            await stage.invoke(NamespacesCalls.get, NamespacesCalls.get.request(name="absent"))
    assert refused.value.exit_code == 1


def test_the_flag_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_URL", "http://environment")
    assert remote_url(Target(url="http://flag")) == "http://flag"
    assert remote_url(Target()) == "http://environment"


@pytest.mark.parametrize("wanted", [Target(data="d"), Target(stage="s")])
def test_a_folder_that_is_named_goes_before_an_address_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, wanted: Target
) -> None:
    monkeypatch.setenv("SOUNDSTAGE_URL", "http://environment")
    assert remote_url(wanted) is None


@pytest.mark.parametrize(
    ("wanted", "flag"), [(Target(url="u", data="d"), "--data"), (Target(url="u", stage="s"), "--stage")]
)
def test_an_address_and_a_folder_are_two_stages(wanted: Target, flag: str) -> None:
    with pytest.raises(CommandFailure, match=f"--url and {flag} name two stages") as refused:
        remote_url(wanted)
    assert refused.value.exit_code == 2


def test_without_either_the_folder_is_opened() -> None:
    assert remote_url(Target()) is None


@pytest.mark.parametrize(
    ("text", "says"), [("soon", "soon"), ("0s", "leaves no time"), ("-1s", "-1s"), ("", None), ("2500ms", None)]
)
async def test_a_deadline_is_a_duration(text: str, says: str | None) -> None:
    if says is None:
        assert await listed(Target(data="memory:", timeout=text)) == 0
        return
    with pytest.raises(CommandFailure, match=says) as refused:
        await listed(Target(data="memory:", timeout=text))
    assert (refused.value.exit_code, refused.value.error.field) == (2, "timeout")


async def test_the_deadline_is_that_of_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_TIMEOUT", "2s")
    async with reached(Target(data="memory:")) as stage:
        assert stage.options.deadline == 2.0
    async with reached(Target(data="memory:", timeout="250ms")) as stage:
        assert stage.options.deadline == 0.25


@pytest.mark.parametrize(
    ("flag", "variables", "sent"),
    [
        ("flag", {"TOKEN": "environment"}, "flag"),
        (None, {"TOKEN": "environment", "TOKEN_FILE": "token.txt"}, "environment"),
        (None, {"TOKEN_FILE": "token.txt"}, "from-file"),
        ("@token.txt", {"TOKEN": "environment"}, "from-file"),
        (None, {"TOKEN": "@token.txt"}, "from-file"),
        (None, {}, None),
    ],
)
async def test_the_token_comes_from_flag_environment_or_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flag: str | None, variables: dict[str, str], sent: str | None
) -> None:
    (tmp_path / "token.txt").write_text("from-file\n")
    for name, value in variables.items():
        monkeypatch.setenv(f"SOUNDSTAGE_{name}", value)
    async with reached(Target(url=NOWHERE, token=flag)) as stage:
        assert stage.invoker.settings.bearer() == sent


async def test_certificates_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CA", "CERTIFICATE", "KEY"):
        monkeypatch.setenv(f"SOUNDSTAGE_{name}", f"{name}.pem")
    async with reached(Target(url=NOWHERE)) as stage:
        settings = stage.invoker.settings
        assert (settings.ca, settings.certificate, settings.key) == ("CA.pem", "CERTIFICATE.pem", "KEY.pem")


def test_a_configuration_is_loaded_from_flags_environment_and_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stage.toml").write_text("data = 'file'\n[http]\nport = 1\n")
    monkeypatch.setenv("SOUNDSTAGE_STAGE", "stage.toml")
    assert stage_file(Folder()) == "stage.toml"
    assert load(Folder()).config.data == "file"
    loaded = load(Folder(data="flag"), {"http.port": 2, "http.host": None})
    assert (loaded.config.data, loaded.config.http.port, loaded.config.http.host) == ("flag", 2, "127.0.0.1")


def test_a_configuration_that_is_wrong_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "stage.toml").write_text("[http")
    with pytest.raises(CommandFailure, match="no TOML") as refused:
        load(Folder(stage="stage.toml"))
    assert refused.value.exit_code == 2
