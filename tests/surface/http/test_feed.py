"""Feeds over HTTP: lines and events, heartbeats, resumption, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from tests.surface.http.asgi_client import Caller
from tests.surface.http.conftest import make
from tests.surface.http.wire import Response, Wire, request

from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.feed import CURSOR_MAX_CHARS, Position
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.namespaces.api import NamespacesCalls, WatchNamespaces
from soundstage.runtime.stage import Stage
from soundstage.surface.http import feed
from soundstage.surface.http.app import Application
from soundstage.surface.http.feed import Events, FeedReply, Form, Lines, form_for, request_from_query, resumed
from soundstage.surface.http.server import Server

WATCH = "/v1/namespaces/watch"


class Event(msgspec.Struct):
    cursor: str
    value: int


class Reader:
    """What an application sends, and a way to go away."""

    def __init__(self, leaves_after: int | None = None) -> None:
        self.parts: list[bytes] = []
        self.head: dict[str, Any] = {}
        self.whole = False
        self._left = asyncio.Event()
        self._leaves_after = leaves_after

    async def receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.head = message
            return
        self.parts.append(message["body"])
        self.whole = not message.get("more_body", False)
        if self._leaves_after is not None and len(self.parts) >= self._leaves_after:
            self._left.set()


async def sent(messages: AsyncGenerator[Any], form: Form, reader: Reader | None = None) -> Reader:
    """What a reader got of a feed."""
    reader = reader or Reader()
    reply = await FeedReply.begun(messages, form)
    await reply.send(reader.receive, reader.send, "r-1")
    return reader


async def three() -> AsyncGenerator[Any]:
    yield Position("0")
    for number in (1, 2):
        yield Event(str(number), number)


async def failing() -> AsyncGenerator[Any]:
    yield Event("1", 1)
    raise Unavailable("gone", hint="wait")


async def test_lines_hold_messages_and_positions() -> None:
    reader = await sent(three(), Lines())
    assert b"".join(reader.parts) == b'{"cursor":"0"}\n{"cursor":"1","value":1}\n{"cursor":"2","value":2}\n'
    assert reader.whole


async def test_events_have_the_cursor_as_their_id() -> None:
    reader = await sent(three(), Events())
    first, second, *_ = b"".join(reader.parts).split(b"\n\n")
    assert (first, second) == (b"id: 0", b'id: 1\ndata: {"cursor":"1","value":1}')


async def test_each_message_is_sent_by_itself() -> None:
    assert len((await sent(three(), Lines())).parts) == 4


@pytest.mark.parametrize(("form", "media_type"), [(Lines(), b"application/x-ndjson"), (Events(), b"text/event-stream")])
async def test_the_head_says_what_comes_and_that_it_is_not_kept(form: Form, media_type: bytes) -> None:
    headers = dict((await sent(three(), form)).head["headers"])
    assert (headers[b"content-type"], headers[b"cache-control"]) == (media_type, b"no-store")
    assert headers[b"x-request-id"] == b"r-1"


async def test_the_last_line_of_a_feed_that_cannot_go_on_is_the_problem() -> None:
    *_, last = (await sent(failing(), Lines())).parts
    problem = msgspec.json.decode(last)["problem"]
    assert (problem["code"], problem["retryable"], problem["request_id"]) == ("unavailable", True, "r-1")


async def test_the_last_event_of_one_is_too() -> None:
    *_, last = (await sent(failing(), Events())).parts
    assert last.startswith(b'event: problem\ndata: {"type":')


async def test_what_is_refused_at_once_is_refused_before_anything_is_sent() -> None:
    async def refusing() -> AsyncGenerator[Any]:
        raise InvalidArgument("no")
        yield 0

    with pytest.raises(InvalidArgument):
        await FeedReply.begun(refusing(), Lines())


async def test_silence_is_broken_by_heartbeats_with_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent() -> AsyncGenerator[Any]:
        yield Event("7", 7)
        await asyncio.Event().wait()

    monkeypatch.setattr(feed, "HEARTBEAT_S", 0.001)
    reader = await sent(silent(), Lines(), Reader(leaves_after=3))
    assert reader.parts[1:3] == [b'{"cursor":"7"}\n'] * 2


async def test_a_reader_that_leaves_ends_the_feed() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[Any]:
        try:
            while True:
                yield Event("1", 1)
                await asyncio.sleep(0)
        finally:
            closed.set()

    reader = await sent(endless(), Lines(), Reader(leaves_after=2))
    assert (closed.is_set(), reader.whole) == (True, False)


async def test_the_next_message_waits_until_the_last_was_taken() -> None:
    taken = list[int]()

    async def counting() -> AsyncGenerator[Any]:
        for number in range(1_000):
            taken.append(number)
            yield Event(str(number), number)

    class Stalled(Reader):
        async def send(self, message: dict[str, Any]) -> None:
            await super().send(message)
            if len(self.parts) == 3:
                await asyncio.Event().wait()

    sending = asyncio.ensure_future(sent(counting(), Lines(), Stalled()))
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(taken) == 3
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize(
    ("accept", "form"),
    [(b"", Lines), (b"application/x-ndjson", Lines), (b"*/*", Lines), (b"text/event-stream", Events)],
)
def test_events_are_sent_to_who_asks_for_them(accept: bytes, form: type[Any]) -> None:
    assert type(form_for(accept)) is form


def test_a_query_spells_a_request() -> None:
    found = request_from_query(NamespacesCalls.watch, b"name=a%2Fb&cursor=5")
    assert found == WatchNamespaces(name="a/b", cursor="5")
    assert request_from_query(NamespacesCalls.watch, b"") == WatchNamespaces()


@pytest.mark.parametrize("query", [b"nam=a", b"name=a&name=b", b"name", b"name=%ff", b"\xff=1"])
def test_what_is_no_query_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidArgument):
        request_from_query(NamespacesCalls.watch, query)


def test_the_last_event_a_browser_saw_goes_before_the_cursor_it_began_with() -> None:
    assert resumed(WatchNamespaces(cursor="1"), b"9").cursor == "9"
    assert resumed(WatchNamespaces(cursor="1"), b"").cursor == "1"
    with pytest.raises(InvalidArgument):
        resumed(WatchNamespaces(), b"9" * (CURSOR_MAX_CHARS + 1))


async def ended(url: str, method: str, body: bytes = b"", *headers: str) -> Response:
    """The whole response to a request whose feed ends by its deadline."""
    async with await Wire.open(url) as wire:
        await wire.send(request(WATCH, body, method, ["Soundstage-Timeout: 50ms", *headers]))
        return await wire.response()


async def test_a_post_follows(url: str) -> None:
    answer = await ended(url, "POST", b'{"cursor":"0"}')
    lines = [msgspec.json.decode(line) for line in answer.body.splitlines()]
    assert (answer.status, lines[0], lines[1]["change"]["action"]) == (200, {"cursor": "0"}, "created")
    assert lines[-1]["problem"]["code"] == "deadline"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?nmae=x", {}),
        ("?cursor=x", {"last_event_id": "9" * (CURSOR_MAX_CHARS + 1)}),
        ("", {"soundstage_timeout": "x"}),
    ],
)
async def test_a_get_that_is_refused_is_counted(stage: Stage, query: str, headers: dict[str, Any]) -> None:
    counted = stage.operations()["namespaces", "watch"].stats
    before = counted.calls, counted.failures.get("invalid_argument", 0)
    answer = await Caller(Application(stage, HttpConfig())).ask(WATCH + query, method="GET", **headers)
    assert answer.status == 400
    assert (counted.calls, counted.failures["invalid_argument"]) == (before[0] + 1, before[1] + 1)


async def test_a_reader_that_is_left_for_taking_nothing_is_told_how_to_go_on() -> None:
    (line,) = (await sent(three(), Lines())).head["follows"].splitlines()
    problem = msgspec.json.decode(line)["problem"]
    assert (problem["code"], problem["retryable"]) == ("exhausted", True)
    assert problem["hint"] == "follow on from the last cursor, and read faster"


async def test_a_get_follows_too(url: str) -> None:
    answer = await ended(url, "GET", b"", "Accept: text/event-stream", "Last-Event-ID: 1")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.body.startswith(b"id: 1\n\nid: 2\ndata: ")


async def test_other_methods_are_told_both(caller: Caller) -> None:
    answer = await caller.ask(WATCH, method="PUT")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


async def test_a_wrong_cursor_is_a_problem_with_its_status(caller: Caller) -> None:
    answer = await caller.post(WATCH, {"cursor": "99999"})
    assert (answer.status, answer.json()["field"]) == (400, "cursor")


async def test_pages_of_other_sites_cannot_follow(caller: Caller) -> None:
    answer = await caller.ask(WATCH, method="GET", host="evil.example")
    assert answer.status == 403


async def test_over_a_socket_messages_come_as_they_happen(stage: Stage, url: str) -> None:
    async with await Wire.open(url) as wire:
        await wire.send(request(WATCH, b"{}"))
        async with aclosing(wire.chunks()) as chunks:
            assert msgspec.json.decode(await anext(chunks)).keys() == {"cursor"}
            await make(stage, "later")
            await anext(chunks)
            assert msgspec.json.decode(await anext(chunks))["change"]["namespace"]["name"] == "later"


async def test_a_server_that_stops_says_so_as_the_last_line(stage: Stage) -> None:
    server = Server(stage, HttpConfig(port=0))
    async with await Wire.open(await server.start()) as wire:
        await wire.send(request(WATCH, b"{}"))
        async with aclosing(wire.chunks()) as chunks:
            await anext(chunks)
            stopping = asyncio.ensure_future(server.stop())
            last = [chunk async for chunk in chunks][-1]
            await stopping
    assert msgspec.json.decode(last)["problem"]["code"] == "unavailable"


async def test_a_connection_that_breaks_ends_the_feed(stage: Stage, url: str) -> None:
    async with await Wire.open(url) as wire:
        await wire.send(request(WATCH, b"{}"))
        async with aclosing(wire.chunks()) as chunks:
            await anext(chunks)
    async with asyncio.timeout(10):
        while b"soundstage_followers 0.0" not in stage.metrics_text():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
