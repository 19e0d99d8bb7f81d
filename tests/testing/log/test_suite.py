"""The suite as a whole: nothing of it is lost, and capabilities choose what an engine is held to."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from pathlib import Path

import pytest
from tests.engines.log.opened import in_memory

import soundstage.testing.log.suite as suite
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Entry, LogCapability, Spot, TopicSpec
from soundstage.testing.log import LogBench, LogSuite, OpenLog
from soundstage.testing.log.histories import Passed, Player, Sent, Swept

PARTS = [part for part in LogSuite.__mro__ if part.__module__.startswith(suite.__name__)]


def test_no_part_hides_a_test_of_another() -> None:
    names = Counter(name for part in PARTS for name in vars(part) if name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_part_is_in_the_suite() -> None:
    files = {path.stem for path in Path(inspect.getfile(suite)).parent.glob("*.py")} - {"__init__"}
    assert {part.__module__.rpartition(".")[2] for part in PARTS} - {"suite"} == files


def test_every_test_asserts_or_expects_a_refusal() -> None:
    idle = [
        f"{path.name}:{node.lineno} {node.name}"
        for path in Path(inspect.getfile(suite)).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
        if not any(
            isinstance(inner, ast.Assert) or (isinstance(inner, ast.Attribute) and inner.attr == "raises")
            for inner in ast.walk(node)
        )
    ]
    # These do not fail, or are compared by what plays them.
    assert sorted(name.partition(" ")[2] for name in idle) == [
        "test_dropping_what_is_not_there_is_no_error",
        "test_random_histories_are_compacted_to_their_newest",
        "test_random_histories_hold_what_was_appended",
        "test_stopping_twice_changes_nothing",
    ]


def test_an_engine_that_can_no_more_is_held_to_no_more() -> None:
    class Bare(LogSuite):
        pass

    class Full(LogSuite):
        capabilities = frozenset(LogCapability)

    def held_to(holder: type) -> set[str]:
        return {name for name in dir(holder) if name.startswith("test_") and callable(getattr(holder, name))}

    assert "test_a_token_is_remembered_for_its_time" in held_to(Full) - held_to(Bare)
    assert held_to(Bare) < held_to(Full)


@pytest.fixture
def open_log() -> OpenLog:
    return in_memory()


async def test_a_bench_reads_page_by_page_to_the_end(open_log: OpenLog) -> None:
    bench = LogBench(open_log)
    await bench.open()
    await bench.append(*(b"%d" % number for number in range(10)))
    assert len(await bench.everything(entries=3)) == 10
    await bench.close()


async def test_a_history_sees_an_entry_that_is_lost(open_log: OpenLog) -> None:
    bench = LogBench(open_log)
    await bench.open()
    player = Player(bench, "history", compact=False)
    await player.play([Sent(0, [(None, b"1")], None, None), Passed(1), Swept(10)])
    await bench.log.create_topic(TopicSpec(name="other", partitions=2))
    with pytest.raises(AssertionError):
        await Player(_Losing(bench), "losing", compact=False).play([Sent(0, [(None, b"1")], None, None)])  # pyright: ignore[reportArgumentType]


class _Losing:
    """A bench whose log forgets what it acknowledged."""

    def __init__(self, bench: LogBench) -> None:
        self._bench = bench

    def __getattr__(self, name: str) -> object:
        return getattr(self._bench, name)

    async def everything(self, partition: int, topic: str) -> list[object]:
        return []


async def test_entries_of_the_bench_are_the_ports(open_log: OpenLog) -> None:
    environment = LogBench(open_log).environment
    log = MemoryLog(environment)
    await log.start()
    await log.create_topic(TopicSpec(name="a"))
    assert await log.append("a", [Entry(b"")]) == [Spot(0, 0)]
