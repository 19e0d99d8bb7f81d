from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundstage.client import connect
from soundstage.core.errors import DataLoss, InvalidArgument, SoundstageError, Unavailable
from soundstage.runtime.listening import NotListening
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.runtime.stagefile import LoadedConfig, load_config
from soundstage.surface.cli.failure import CommandFailure, report
from soundstage.surface.cli.serving import all_well, refusals, serving, signalled


def memory(**flags: object) -> LoadedConfig:
    return load_config(flags={"data": "memory:", "http.port": 0, **flags})


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_stage_answers_within_the_block_and_not_after_it() -> None:
    async with serving(memory(), asyncio.Event()) as addresses, connect(addresses.url) as connection:
        assert (await connection.client(Namespaces).list()).namespaces == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(addresses.url.rpartition(":")[2])))


async def test_metrics_with_a_listener_of_their_own_are_told() -> None:
    async with serving(memory(**{"http.metrics_listen": "127.0.0.1:0"}), asyncio.Event()) as addresses:
        assert addresses.metrics is not None
        answer = await asyncio.to_thread(urllib.request.urlopen, addresses.metrics, timeout=30)
        with answer:
            assert b"soundstage_calls_started_total" in answer.read()


async def test_doors_are_open_within_the_block_and_not_after_it() -> None:
    async with serving(memory(**{"doors.resp.listen": "127.0.0.1:0"}), asyncio.Event()) as addresses:
        (door,) = addresses.doors
        port = int(door.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):
            """Somebody is let in."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_a_door_whose_port_is_in_use_is_a_wrong_configuration(taken: int) -> None:
    with pytest.raises(CommandFailure, match=f"127.0.0.1:{taken} is in use") as refused:
        async with serving(memory(**{"doors.resp.listen": f"127.0.0.1:{taken}"}), asyncio.Event()):
            pass
    assert refused.value.exit_code == 2


async def test_metrics_without_one_are_not() -> None:
    async with serving(memory(), asyncio.Event()) as addresses:
        assert addresses.metrics is None


async def test_a_port_in_use_is_a_wrong_configuration_and_leaves_nothing_open(tmp_path: Path, taken: int) -> None:
    loaded = load_config(flags={"data": str(tmp_path), "http.port": taken})
    with pytest.raises(CommandFailure, match=f"127.0.0.1:{taken} is in use") as refused:
        async with serving(loaded, asyncio.Event()):
            pass
    assert refused.value.exit_code == 2
    async with Stage.open(data=tmp_path):
        """The folder is free."""


async def test_logs_are_written_while_it_serves_and_not_after(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("soundstage.test")
    async with serving(memory(), asyncio.Event()):
        log.warning("within", extra={"token": "hidden-one"})
    within = capsys.readouterr().err
    log.warning("after")
    # On a machine that stands still for a while a stage has something to say, too.
    assert "within" in [json.loads(line)["event"] for line in within.splitlines()]
    assert "hidden-one" not in within
    assert capsys.readouterr().err == ""


async def test_what_a_stage_lacks_is_said_once_and_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage.open(data="memory:")
    waiting = asyncio.create_task(all_well(stage, asyncio.Event()))
    await asyncio.sleep(0.12)
    assert not waiting.done()
    async with stage:
        await waiting
    assert capsys.readouterr().err == "soundstage: not ready: the stage is starting\n"


async def test_a_stage_that_is_to_stop_is_not_waited_for() -> None:
    stopping = asyncio.Event()
    stopping.set()
    await all_well(Stage.open(data="memory:"), stopping)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_asks_to_stop(number: signal.Signals) -> None:
    stopping = asyncio.Event()
    with signalled(stopping):
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stopping.wait(), 10)


async def test_afterwards_signals_are_what_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signalled(asyncio.Event()):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) in (before, signal.SIG_DFL)


@pytest.mark.parametrize(("error", "code"), [(InvalidArgument("x"), 2), (Unavailable("x"), 2), (DataLoss("x"), 1)])
def test_what_keeps_it_from_starting_ends_the_command(error: SoundstageError, code: int) -> None:
    with pytest.raises(CommandFailure) as refused, refusals():
        raise error
    assert (refused.value.error, refused.value.exit_code) == (error, code)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EADDRINUSE, "the address localhost:80 is in use"),
        (errno.EACCES, "the address localhost:80 cannot be listened on: Permission denied"),
    ],
)
def test_an_address_that_cannot_be_had_is_named(number: int, says: str) -> None:
    error = NotListening(OSError(number, f"{os.strerror(number)} (while attempting to bind)"), "localhost:80")
    with pytest.raises(CommandFailure, match=says) as refused, refusals():
        raise error
    assert refused.value.exit_code == 2
    assert refused.value.error.hint
    assert "while" not in refused.value.error.detail


def test_what_nobody_foresaw_ends_the_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandFailure) as caught, refusals():
        raise OverflowError("int too large")
    report(caught.value, as_json=False)
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err.startswith("soundstage: the stage cannot start: OverflowError: int too large (")


async def test_a_host_that_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    loaded = load_config(flags={"data": str(tmp_path / "data"), "http.host": "0.0.0.0", "http.port": 0})
    with pytest.raises(CommandFailure) as caught:
        async with serving(loaded, asyncio.Event()):
            """Never reached."""
    assert caught.value.exit_code == 2
    assert not (tmp_path / "data").exists()


async def test_where_folder_and_port_are_taken_the_holder_is_named(tmp_path: Path, taken: int) -> None:
    folder = load_config(flags={"data": str(tmp_path / "data"), "http.port": taken})
    async with Stage.open(config=folder):
        with pytest.raises(CommandFailure) as caught:
            async with serving(folder, asyncio.Event()):
                """Never reached."""
    assert str(os.getpid()) in caught.value.error.detail
