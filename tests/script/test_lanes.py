"""Suites run beside each other, but not two with large servers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lanes
import pytest
from lanes import may_run, run_in_lanes
from suite_run import Suite, none_outlive, run

SERVERS = {"a": ("cassandra",), "b": ("kafka", "memcached"), "small": ("memcached", "redis")}


def suites(*names: str) -> list[Suite]:
    return [Suite(name, None, ("true",)) for name in names]


def servers_of(suite: Suite) -> tuple[str, ...]:
    return SERVERS.get(suite.name, ())


def test_two_suites_run_at_once() -> None:
    both = threading.Barrier(2)
    ended = run_in_lanes(suites("x", "y"), 2, servers_of, lambda suite: both.wait(60))
    assert {suite.name for suite, _ in ended} == {"x", "y"}


def test_no_more_run_at_once_than_there_are_lanes() -> None:
    running, most = list[str](), list[int]()

    def note(suite: Suite) -> None:
        running.append(suite.name)
        most.append(len(running))
        running.remove(suite.name)

    assert len(list(run_in_lanes(suites(*"abcdefgh"), 1, servers_of, note))) == 8
    assert most == [1] * 8


def test_they_begin_in_their_order() -> None:
    begun = list[str]()
    list(run_in_lanes(suites(*"xyz"), 1, servers_of, lambda suite: begun.append(suite.name)))
    assert begun == ["x", "y", "z"]


def test_what_a_suite_came_to_is_told_with_it() -> None:
    ended = run_in_lanes(suites("x", "y"), 2, servers_of, lambda suite: suite.name.upper())
    assert sorted((suite.name, result) for suite, result in ended) == [("x", "X"), ("y", "Y")]


def test_a_suite_that_may_not_run_yet_lets_the_next_go_first() -> None:
    begun, gate = list[str](), threading.Event()

    def note(suite: Suite) -> None:
        begun.append(suite.name)
        if suite.name == "a":
            assert gate.wait(60)
        elif suite.name == "x":
            gate.set()

    list(run_in_lanes(suites("a", "b", "x"), 2, servers_of, note))
    assert begun == ["a", "x", "b"]


@pytest.mark.parametrize(
    ("name", "beside", "allowed"),
    [("a", [], True), ("a", ["b"], False), ("b", ["a"], False), ("a", ["small", "x"], True), ("small", ["a"], True)],
)
def test_of_two_suites_with_large_servers_one_waits(name: str, beside: list[str], allowed: bool) -> None:
    assert may_run(suites(name)[0], suites(*beside), servers_of) is allowed


def test_one_that_fails_to_run_ends_all_that_run(tmp_path: Path) -> None:
    """Whoever stops a run, by Ctrl-C as well, leaves nothing of it."""
    began = threading.Event()

    def work(suite: Suite) -> str:
        if suite.name == "y":
            assert began.wait(60)
            raise KeyboardInterrupt
        began.set()
        return run(Suite("slow", None, ("sh", "-c", "sleep 600 & sleep 600")), tmp_path, place=tmp_path).reason

    with pytest.raises(KeyboardInterrupt):
        list(run_in_lanes(suites("x", "y"), 2, servers_of, work))


def test_one_whose_thread_nobody_noted_yet_is_ended_too(tmp_path: Path) -> None:
    """A signal may come between the start of a suite and the word of it, and a suite may begin while others end."""
    leaves, pool = threading.Event(), ThreadPoolExecutor(1)

    def late() -> str:
        assert leaves.wait(60)
        return run(Suite("slow", None, ("sleep", "600")), tmp_path, place=tmp_path).reason

    with none_outlive(pool):
        ended = pool.submit(late)
        leaves.set()
    assert ended.result(0) == "ended with status -9"


def test_suites_run_again_after_some_were_ended(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), none_outlive(ThreadPoolExecutor(1)):
        raise KeyboardInterrupt
    assert run(Suite("next", None, ("true",)), tmp_path, place=tmp_path).ok


@pytest.mark.parametrize(("processors", "count"), [({0}, 1), ({0, 1}, 2), (set(range(64)), lanes.LANES_MAX)])
def test_there_are_as_many_lanes_as_processors_up_to_two(
    monkeypatch: pytest.MonkeyPatch, processors: set[int], count: int
) -> None:
    def affinity(_: int) -> set[int]:
        return processors

    monkeypatch.setattr("os.sched_getaffinity", affinity)
    assert lanes.lanes() == count
