"""The command: a stage that is started, filled, played on, checked and stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.demo.sample import film, large

from soundstage.client import Connection, connect
from soundstage.data.kv import KeyValue, PutItem
from soundstage.demo.command import check, folder, perform, run
from soundstage.demo.history import History
from soundstage.demo.measures import Measured
from soundstage.demo.playback import Played
from soundstage.demo.records import TITLES
from soundstage.demo.screen import Screen
from soundstage.runtime.stagefile import LoadedConfig, load_config
from soundstage.surface.cli.failure import DONE, FAILED, INTERRUPTED, CommandFailure


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    """A stage of its own folder and port; quiet, as the demo's is."""
    flags = {"data": str(tmp_path / "data"), "http.port": 0, "telemetry.log_level": "warning"}
    return load_config(variables={}, flags=flags)


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handlers of signals and of logs are what they were; signals have those that a program starts with."""
    started_with = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in started_with.items()}
    root = logging.getLogger()
    logs, level = list(root.handlers), root.level
    yield
    root.handlers[:] = logs
    root.setLevel(level)
    left = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert left == started_with


async def test_once_ends_with_0_when_all_that_was_read_equals_the_source(
    loaded: LoadedConfig, history: History, screen: Screen
) -> None:
    assert await run(history, loaded, True, screen) == DONE


async def test_the_summary_tells_counts_times_and_the_check(
    loaded: LoadedConfig, history: History, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(history, loaded, True, screen)
    said = re.sub(r"\d+\.\d (s|ms)", r"N \1", capsys.readouterr().out)
    said = re.sub(r"sha256 \w{16}…", "sha256 …", re.sub(r"[\d,]+ a second", "N a second", said))
    assert re.sub(r":\d+/", ":PORT/", said).splitlines() == [
        "titles    3 records in N s, N a second",
        "profiles  3 records with their ratings in N s, N a second",
        "played    5 ratings in N s, N a second",
        "          3 bursts, 16 at a time at most, each read about and then written",
        "reads     9, p50 N ms, p99 N ms",
        "writes    3, p50 N ms, p99 N ms",
        "checked   9 records read back in N s, N a second",
        "          titles: 3 equal the source, sha256 …",
        "          profiles: 3 equal the source, sha256 …",
        "          ratings in profiles: 5 equal the source, sha256 …",
        "          ratings as played: 5 equal the source, sha256 …",
        "console   http://127.0.0.1:PORT/",
    ]


async def test_once_ends_with_1_when_what_was_read_differs(
    loaded: LoadedConfig, history: History, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of two films with one id only one can be read back.
    twice = msgspec.structs.replace(history, films=[*history.films, film(3, "Another", 1996)])
    assert await run(twice, loaded, True, screen) == FAILED
    assert "titles: 3 read and 4 in the source DIFFER" in capsys.readouterr().out


async def test_surprising_reads_are_told_and_fail(
    connection: Connection, history: History, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    await perform(connection.url, history, screen)
    played = Played(5, 3, Measured(9, 1.0, 1.0), Measured(3, 1.0, 1.0), surprises=2)
    assert not await check(connection, history, played, screen)
    assert "2 reads did not show what had been written before them" in capsys.readouterr().out


async def stay_up(history: History, loaded: LoadedConfig, screen: Screen) -> asyncio.Task[int]:
    return asyncio.create_task(run(history, loaded, False, screen))


async def said(text: str, capsys: pytest.CaptureFixture[str], running: asyncio.Task[int]) -> str:
    """All that was printed until `text` was."""
    printed = ""
    while text not in printed:
        assert not running.done(), printed
        await asyncio.sleep(0.005)
        printed += capsys.readouterr().out
    return printed


async def test_it_stays_up_and_serves_until_a_signal_comes(
    loaded: LoadedConfig, history: History, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    running = await stay_up(history, loaded, screen)
    found = re.search(r"console   (http://\S+)/  \(Ctrl-C ends\)", await said("console", capsys, running))
    assert found is not None
    async with connect(found[1]) as connection:
        reply = await connection.client(KeyValue, TITLES).get_items(id="1")
    os.kill(os.getpid(), signal.SIGTERM)
    assert len(reply.items) == 3
    assert await running == DONE


async def test_a_signal_while_it_works_ends_it_as_interrupted(
    loaded: LoadedConfig, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    running = await stay_up(large(people=50, each=40), loaded, screen)
    await said("titles", capsys, running)
    os.kill(os.getpid(), signal.SIGINT)
    assert await running == INTERRUPTED


async def test_a_folder_that_is_in_use_is_refused(
    loaded: LoadedConfig, history: History, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = await stay_up(history, loaded, screen)
    await said("titles", capsys, holder)
    with pytest.raises(CommandFailure):
        await run(history, loaded, True, screen)
    holder.cancel()
    await asyncio.gather(holder, return_exceptions=True)


async def test_what_an_earlier_run_left_is_replaced(loaded: LoadedConfig, history: History, screen: Screen) -> None:
    assert await run(large(people=3, each=5), loaded, True, screen) == DONE
    assert await run(history, loaded, True, screen) == DONE


async def test_performing_replaces_what_is_there(connection: Connection, history: History, screen: Screen) -> None:
    await connection.client(KeyValue, TITLES).put_items(id="77", items=[PutItem(key=b"x", value=b"")])
    assert await perform(connection.url, history, screen)


def test_without_a_folder_it_has_a_temporary_one_that_is_gone_afterwards() -> None:
    with folder(None) as path:
        assert Path(path).is_dir()
    assert not Path(path).exists()


def test_a_folder_of_ones_own_is_kept(tmp_path: Path) -> None:
    with folder(str(tmp_path)) as path:
        assert path == str(tmp_path)
    assert tmp_path.is_dir()


def test_a_temporary_folder_is_gone_when_the_demo_fails() -> None:
    made = folder(None)
    path = made.__enter__()
    made.__exit__(LookupError, LookupError(), None)
    assert not Path(path).exists()
