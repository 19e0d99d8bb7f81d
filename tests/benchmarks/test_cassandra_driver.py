from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.cassandra_driver import QUORUM, driven


class Request:
    consistency_level = 0


class Session:
    """Answers each request in a thread of its own; `refused` is the one that fails."""

    def __init__(self, refused: Request | None = None) -> None:
        self.asked: list[Request] = []
        self.most = 0
        self._refused = refused
        self._under_way = 0
        self._lock = threading.Lock()

    def execute_async(self, request: Request) -> Session:
        with self._lock:
            self.asked.append(request)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        return self

    def add_callbacks(self, answered: Callable[..., None], failed: Callable[..., None], given: tuple[Any, ...]) -> None:
        def answer() -> None:
            with self._lock:
                self._under_way -= 1
            if self.asked[-1] is self._refused:
                failed(ValueError("refused"))
            else:
                answered([], *given)

        threading.Thread(target=answer).start()


def calls(count: int, requests: int = 1) -> list[list[Request]]:
    return [[Request() for _ in range(requests)] for _ in range(count)]


def test_every_request_is_asked_for_at_a_quorum() -> None:
    session, asked = Session(), calls(50)
    assert driven(session, asked, 8) > 0
    assert {id(each) for each in session.asked} == {id(each) for (each,) in asked}
    assert {each.consistency_level for each in session.asked} == {QUORUM}


def test_no_more_are_under_way_than_may() -> None:
    session = Session()
    driven(session, calls(50), 4)
    assert session.most <= 4


def test_the_requests_of_a_call_come_one_after_the_other() -> None:
    session, asked = Session(), calls(3, requests=3)
    driven(session, asked, 1)
    assert session.asked == [request for call in asked for request in call]


def test_callers_may_be_more_than_calls() -> None:
    session = Session()
    driven(session, calls(2), 8)
    assert len(session.asked) == 2


def test_a_failure_ends_it() -> None:
    asked = calls(10)
    with pytest.raises(ValueError, match="refused"):
        driven(Session(refused=asked[4][0]), asked, 1)
