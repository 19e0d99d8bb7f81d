"""What an application may say to an exchange, and what comes of it on the wire."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.surface.http.asgi_listener import Listener, answer, whole
from tests.surface.http.wire import Response, Wire, request, until

from soundstage.surface.http.asgi import WHOLE, Receive, Scope, Send

START: dict[str, Any] = {"type": "http.response.start", "status": 200}


async def exchanged(app: Any, sent: bytes = request("/a")) -> tuple[Response, bytes]:
    """The response to one request, and what followed until the connection was closed, if it was asked to be."""
    async with Listener(app) as listener, await Wire.open(listener.url) as wire:
        await wire.send(sent)
        response = await wire.response(sent.split()[0].decode())
        wire.finish()
        return response, await wire.closed()


async def test_a_response_may_be_one_message() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"4"), (b"x-own", b"1")]
        assert WHOLE in scope["extensions"]
        await send({"type": WHOLE, "status": 201, "headers": headers, "body": b"body"})

    response, rest = await exchanged(app)
    assert (response.status, response.headers["x-own"], response.body, rest) == (201, "1", b"body", b"")


async def test_a_response_in_one_message_to_head_has_no_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": WHOLE, "status": 200, "headers": [(b"content-length", b"4")], "body": b"body"})

    response, _ = await exchanged(app, request("/a", method="HEAD"))
    assert (response.status, response.headers["content-length"], response.body) == (200, "4", b"")


async def broken_off(app: Any) -> bytes:
    """What comes when the connection ends early."""
    async with Listener(app) as listener, await Wire.open(listener.url) as wire:
        await wire.send(request("/a"))
        return await wire.closed()


async def test_head_and_body_leave_in_one_write() -> None:
    writes: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"body")

    async with Listener(app) as listener, await Wire.open(listener.url) as wire:
        await until(lambda: listener.state.connections)
        (connection,) = listener.state.connections
        transport: Any = connection.transport

        class Watched:
            def write(self, data: bytes) -> None:
                writes.append(data)
                transport.write(data)

            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

        connection.transport = Watched()  # type: ignore[assignment]
        assert (await wire.ask("/a")).body == b"body"
    assert len(writes) == 1


async def test_a_response_of_unknown_length_is_chunked() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": []})
        for part in (b"some", b"", b" more"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    response, _ = await exchanged(app)
    assert (response.headers["transfer-encoding"], response.body) == ("chunked", b"some more")


async def test_to_http_1_0_it_ends_with_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": []})
        await send({"type": "http.response.body", "body": b"all"})

    response, rest = await exchanged(app, b"GET /a HTTP/1.0\r\n\r\n")
    assert (response.headers["connection"], rest) == ("close", b"all")


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    response, rest = await exchanged(app)
    assert (response.status, "transfer-encoding" in response.headers, rest) == (status, False, b"")


async def test_a_head_is_answered_without_the_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"body")

    response, rest = await exchanged(app, request("/a", method="HEAD"))
    assert (response.headers["content-length"], rest) == ("4", b"")


async def test_the_parts_of_a_response_of_known_length_are_sent_as_they_come() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"content-length", b"8")]})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"more"})

    async with Listener(app) as listener, await Wire.open(listener.url) as wire:
        await wire.send(request("/a"))
        assert (await wire.until(b"some")).startswith(b"HTTP/1.1 200 OK\r\n")
        gate.set()
        assert await wire.until(b"more") == b"more"


async def test_an_application_may_close_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"bye", 200, (b"connection", b"close"))

    response, _ = await exchanged(app)
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb"])
async def test_a_header_with_a_line_break_is_not_sent(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"", 200, (b"x-name", value))

    assert await broken_off(app) == b""
    assert "line break" in caplog.text


@pytest.mark.parametrize("body", [b"123", b"12345"])
async def test_a_body_of_another_length_than_announced_ends_the_connection(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": body})

    await broken_off(app)
    assert "not as long as its Content-Length" in caplog.text


async def test_a_second_response_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"one")
        await send({"type": "http.response.body", "body": b"two"})

    assert (await broken_off(app)).endswith(b"\r\n\r\none")
    assert "complete already" in caplog.text


async def test_a_defect_ends_the_connection_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("secret detail")

    assert await broken_off(app) == b""
    assert "a request failed by a defect while it was answered" in caplog.text


async def test_no_answer_at_all_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await whole(receive)

    assert await broken_off(app) == b""
    assert "a request was left without an answer" in caplog.text


async def test_half_an_answer_ends_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"12", "more_body": True})

    assert (await broken_off(app)).endswith(b"12")


async def test_a_cancelled_answer_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    entered = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.INFO):
        async with Listener(app) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a"))
            await entered.wait()
            (task,) = listener.state.tasks
            task.cancel()
            assert await wire.closed() == b""
            assert not listener.state.tasks
    assert caplog.text == ""


async def test_a_body_comes_in_the_parts_that_arrive() -> None:
    parts: list[tuple[bytes, bool]] = []
    wanted = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            parts.append((message["body"], more))
            wanted.set()
        await answer(send, b"")

    async with Listener(app) as listener, await Wire.open(listener.url) as wire:
        await wire.send(request("/a", b"abc", length=6))
        await wanted.wait()
        await wire.send(b"def")
        await wire.response()
    assert parts == [(b"abc", True), (b"def", False)]


async def test_parts_that_wait_are_taken_together() -> None:
    bodies: list[bytes] = []
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        bodies.append((await receive())["body"])
        await answer(send, b"")

    chunks = request("/a", headers=["Transfer-Encoding: chunked"]) + b"2\r\nab\r\n1\r\nc\r\n2\r\nde\r\n0\r\n\r\n"
    async with Listener(app) as listener, await Wire.open(listener.url) as wire:
        await wire.send(chunks)
        gate.set()
        await wire.response()
    assert bodies == [b"abcde"]


async def test_after_its_answer_an_application_hears_that_it_is_over() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        waiting = asyncio.create_task(listen(receive))
        await answer(send, b"")
        heard.append(await waiting)

    async def listen(receive: Receive) -> str:
        while (message := await receive())["type"] != "http.disconnect":
            pass
        return message["type"]

    async with Listener(app) as listener, await Wire.open(listener.url) as wire:
        await wire.ask("/a")
        await until(lambda: not listener.state.tasks)
    assert heard == ["http.disconnect"]


async def test_tasks_are_forgotten_when_they_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"")

    async with Listener(app) as listener, await Wire.open(listener.url) as wire:
        for _ in range(3):
            await wire.ask("/a")
        await asyncio.sleep(0)
        assert (len(listener.state.tasks), listener.state.total_requests) == (0, 3)
