"""Declared feeds, and the typed methods that both faces get from them."""

# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from soundstage.core.call import CallOptions
from soundstage.core.errors import NotFound
from soundstage.core.feed import FeedOperation, feed
from soundstage.core.operation import AsyncFace, Operation, SyncFace, operations_of


class Watch(msgspec.Struct, kw_only=True):
    namespace: str = ""
    key: str = ""
    cursor: str | None = None


class Event(msgspec.Struct, kw_only=True):
    cursor: str
    value: int


class Look(msgspec.Struct):
    key: str


class ShelfCalls:
    system = "shelf"

    @feed(Watch, access="read", errors=(NotFound,))
    def watch(self) -> Event:
        """What is put there."""


class Shelf(AsyncFace, ShelfCalls):
    pass


class SyncShelf(SyncFace, ShelfCalls):
    pass


class Counting:
    """An invoker whose feeds count; it keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, CallOptions]] = []
        self.closed = 0

    async def invoke(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        raise AssertionError

    def invoke_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        raise AssertionError

    async def start_job(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        raise AssertionError

    def start_job_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        raise AssertionError

    async def follow(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> AsyncGenerator[Any]:
        self.asked.append((request, options))
        try:
            for number in range(100):
                yield Event(cursor=str(number), value=number)
        finally:
            self.closed += 1

    def follow_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Generator[Any]:
        self.asked.append((request, options))
        yield from (Event(cursor=str(number), value=number) for number in range(3))


@pytest.fixture
def counting() -> Counting:
    return Counting()


def test_a_declaration_is_a_feed() -> None:
    watch = ShelfCalls.watch
    assert (watch.kind, watch.path, watch.request, watch.reply) == ("feed", "/v1/shelf/watch", Watch, Event)
    assert (watch.idempotent, watch.doc, watch.errors) == (True, "What is put there.", (NotFound,))


def test_it_is_among_the_operations() -> None:
    assert isinstance(operations_of(ShelfCalls)["watch"], FeedOperation)


def test_a_request_that_cannot_resume_is_no_feeds() -> None:
    with pytest.raises(TypeError, match="cursor"):

        @feed(Look, access="read")
        def watch(self: Any) -> Event:  # pyright: ignore[reportUnusedFunction]
            """."""


async def test_following_gives_the_messages_as_they_are_asked_for(counting: Counting) -> None:
    async with aclosing(Shelf(counting, "mine").watch(key="a")) as events:
        assert [(await anext(events)).value for _ in range(2)] == [0, 1]
    assert counting.asked[0][0] == Watch(namespace="mine", key="a")


async def test_who_closes_is_heard(counting: Counting) -> None:
    async with aclosing(Shelf(counting).watch()) as events:
        await anext(events)
    assert counting.closed == 1


def test_the_synchronous_face_iterates(counting: Counting) -> None:
    assert [event.value for event in SyncShelf(counting).watch(key="a", namespace="other")] == [0, 1, 2]
    assert counting.asked[0][0].namespace == "other"


async def test_options_travel_with_it(counting: Counting) -> None:
    async with aclosing(Shelf(counting).with_options(deadline=2.0).watch(cursor="5")) as events:
        await anext(events)
    assert counting.asked == [(Watch(cursor="5"), CallOptions(deadline=2.0))]
