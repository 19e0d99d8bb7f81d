"""Connections, over real sockets: what ends them, what is said before, and what they let pass."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from tests.surface.http.asgi_listener import Listener, answer, echo, ms, whole
from tests.surface.http.wire import Wire, ask, request, until

from soundstage.core.size import Size
from soundstage.surface.http.asgi import Receive, Scope, Send, disconnected, send_part
from soundstage.surface.http.exchange import STREAMED
from soundstage.surface.http.protocol import LINGER_MAX_BYTES, LINGER_S, PIPELINE_MAX, LimitedProtocol, connections_of

GET = request("/a", method="GET")


class Held:
    """An application that answers when told to; `entered` once a request is in its hands."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await whole(receive)
        self.entered.set()
        await self.gate.wait()
        await answer(send, scope["path"].encode())


def only(listener: Listener) -> LimitedProtocol:
    (connection,) = connections_of(listener.state)
    return connection


def reset_at_close(listener: Listener) -> socket.socket:
    """A connection that ends without a farewell."""
    raw = socket.create_connection(("127.0.0.1", int(listener.url.rpartition(":")[2])))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return raw


async def reached(listener: Listener, phase: str) -> None:
    """The only connection is in that phase."""
    await until(lambda: listener.state.connections and only(listener).phase == phase)


async def settled(listener: Listener) -> None:
    """No connection is left."""
    await until(lambda: not listener.state.connections)


class TestRequests:
    async def test_a_request_is_answered(self) -> None:
        async with Listener(echo) as listener:
            response = await ask(listener.url, "/a", {"b": 1})
        assert (response.status, response.body) == (200, b'POST /a {"b":1}')

    async def test_a_connection_carries_one_request_after_the_other(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            answers = [(await wire.ask(path)).body for path in ("/a", "/b", "/c")]
        assert answers == [b"POST /a ", b"POST /b ", b"POST /c "]

    async def test_every_answer_has_a_date(self) -> None:
        async with Listener(echo) as listener:
            assert (await ask(listener.url, "/a")).headers["date"].endswith("GMT")

    async def test_requests_sent_together_are_answered_in_order(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(b"".join(request(f"/{number}", b"x" * number) for number in range(20)))
            answers = [(await wire.response()).body for _ in range(20)]
        assert answers == [b"POST /%d %b" % (number, b"x" * number) for number in range(20)]

    async def test_a_request_may_come_byte_by_byte(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            for byte in request("/a", b"abc"):
                await wire.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await wire.response()).body == b"POST /a abc"

    async def test_a_chunked_body_is_whole(self) -> None:
        head = request("/a", headers=["Transfer-Encoding: chunked"])
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(head + b"3\r\nabc\r\n2;why=not\r\nde\r\n0\r\nTrailer: x\r\n\r\n")
            assert (await wire.response()).body == b"POST /a abcde"

    async def test_a_connection_that_says_close_is_closed_after_its_answer(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            response = await wire.ask("/a", headers=["Connection: close"])
            assert (response.headers["connection"], await wire.closed()) == ("close", b"")

    async def test_what_comes_after_a_close_is_not_answered(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a", headers=["Connection: close"]) + request("/b"))
            assert (await wire.response()).body == b"POST /a "
            assert await wire.closed() == b""

    async def test_http_1_0_gets_one_answer(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            response = await wire.response()
            assert (response.body, response.headers["connection"]) == (b"GET /a ", "close")
            assert await wire.closed() == b""

    async def test_a_head_has_the_headers_alone(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            response = await wire.ask("/a", method="HEAD")
            assert (response.headers["content-length"], response.body) == ("8", b"")
            assert (await wire.ask("/b")).body == b"POST /b "

    @pytest.mark.parametrize(
        ("target", "path"),
        [
            ("/a%20b/%C3%A9", "/a b/é"),
            ("/a?b=c%20d", "/a"),
            ("/a#b", "/a"),
            ("http://elsewhere:80/a?b", "/a"),
            ("http://elsewhere", "/"),
            ("/%ff", "/�"),
            ("//a", "//a"),
            ("*", "*"),
        ],
    )
    async def test_the_path_is_read_from_any_form_of_target(self, target: str, path: str) -> None:
        async with Listener(echo) as listener:
            response = await ask(listener.url, target, method="OPTIONS")
        assert response.body.decode() == f"OPTIONS {path} "

    async def test_the_scope_is_that_of_asgi(self) -> None:
        scopes: list[Scope] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scopes.append(scope)
            await echo(scope, receive, send)

        async with Listener(app) as listener:
            await ask(listener.url, "/a%20b?c=d", headers=["X-Name: Value"])
        (scope,) = scopes
        assert (scope["type"], scope["http_version"], scope["scheme"]) == ("http", "1.1", "http")
        assert (scope["raw_path"], scope["query_string"], scope["root_path"]) == (b"/a%20b", b"c=d", "")
        assert scope["headers"] == [(b"host", b"localhost"), (b"x-name", b"Value")]
        assert (scope["server"][0], scope["client"][0]) == ("127.0.0.1", "127.0.0.1")

    @pytest.mark.parametrize("protocol", ["h2c", "websocket"])
    async def test_an_offer_to_change_the_protocol_is_not_taken_up(self, protocol: str) -> None:
        offer = ["Connection: Upgrade", f"Upgrade: {protocol}"]
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a", method="GET", headers=offer) + request("/b"))
            assert [(await wire.response()).body for _ in range(2)] == [b"GET /a ", b"POST /b "]


class TestMalformed:
    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            (b"BREW /a HTTP/1.1\r\n\r\n", "invalid method"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "invalid method"),
            (b"GET /a HTTP/1.1\nHost: x\n\n", "expected CRLF"),
            (b"GET /a HTTP/1.1\r\nA b: c\r\n\r\n", "invalid header token"),
            (b"GET /a HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n", "header field char"),
            (b"GET /a HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "header value"),
            (b"GET /a HTTP/1.1\r\nA: b\0c\r\n\r\n", "invalid header value"),
            (b"POST /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length"),
            (b"POST /a HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "ransfer-Encoding can't"),
            (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "`Transfer-Encoding`"),
            (b"POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "Content-Length"),
            (b"POST /a HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", "ontent-Length overflow"),
            (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", "invalid url"),
            (b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", "invalid url"),
            (b"GET /a HTTP/1.1\r\n\r\n", "no `Host` header"),
            (b"GET /a HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n", "2 `Host` headers"),
            (b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", "no `Host` header"),
        ],
    )
    async def test_what_is_no_request_is_refused_and_closed(self, sent: bytes, reason: str) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(sent)
            response = await wire.response()
            problem = response.json()
            assert (response.status, problem["code"], response.headers["connection"]) == (
                400,
                "invalid_argument",
                "close",
            )
            assert reason in problem["detail"]
            assert problem["hint"]
            assert response.headers["x-request-id"] == problem["request_id"] == "the-request-id"
            assert await wire.closed() == b""

    async def test_the_old_protocol_needs_no_host(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(b"GET /a HTTP/1.0\r\n\r\n")
            assert (await wire.response()).status == 200

    async def test_what_came_before_it_is_answered_first(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a") + request("/b") + b"rubbish\r\n\r\n")
            assert [(await wire.response()).status for _ in range(3)] == [200, 200, 400]
            assert await wire.closed() == b""

    async def test_a_broken_body_ends_its_request(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a", headers=["Transfer-Encoding: chunked"]) + b"zz\r\n")
            response = await wire.response()
            assert (response.status, "chunk size" in response.json()["detail"]) == (400, True)

    async def test_a_broken_body_behind_others_is_refused_after_them(self) -> None:
        held = Held()
        async with Listener(held) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a") + request("/b", headers=["Transfer-Encoding: chunked"]) + b"zz\r\n")
            held.gate.set()
            assert [(await wire.response()).status for _ in range(2)] == [200, 400]

    async def test_a_body_that_breaks_after_its_answer_just_ends_the_connection(self) -> None:
        async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
            await answer(send, b"enough")

        async with Listener(hasty) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a", headers=["Transfer-Encoding: chunked"]))
            assert (await wire.response()).body == b"enough"
            await wire.send(b"zz\r\n")
            assert await wire.closed() == b""


NARROW: dict[str, Any] = {"max_headers": Size(2_048)}


class TestSizes:
    @pytest.mark.parametrize(
        "head",
        [
            request("/a", headers=[f"X: {'y' * 2_048}"]),
            request("/a", headers=["X: y"] * 500),
            request("/" + "a" * 2_048),
            b"GET /a HTTP/1.1\r\nX: " + b"y" * 5_000,
        ],
    )
    async def test_headers_over_the_limit_are_refused(self, head: bytes) -> None:
        async with Listener(echo, **NARROW) as listener, await Wire.open(listener.url) as wire:
            await wire.send(head)
            response = await wire.response()
            assert (response.status, response.json()["code"]) == (431, "too_large")
            assert await wire.closed() == b""

    async def test_headers_within_the_limit_are_read_however_large_the_body(self) -> None:
        sent = request("/a", b"b" * 50_000, headers=[f"X: {'y' * 1_900}"])
        async with Listener(echo, **NARROW) as listener, await Wire.open(listener.url) as wire:
            await wire.send(sent)
            assert len((await wire.response()).body) == 50_008

    async def test_requests_sent_together_have_a_limit_each(self) -> None:
        async with Listener(echo, **NARROW) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a", headers=[f"X: {'y' * 900}"]) * 5)
            assert [(await wire.response()).status for _ in range(5)] == [200] * 5

    @pytest.mark.parametrize(
        "framing",
        [b"1;" + b"x" * 3_000, b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 500],
    )
    async def test_framing_that_outweighs_the_body_is_refused(self, framing: bytes) -> None:
        async with Listener(echo, **NARROW) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a", headers=["Transfer-Encoding: chunked"]))
            await reached(listener, "body")
            await wire.send(framing)
            response = await wire.response()
            assert (response.status, response.json()["code"]) == (413, "too_large")

    async def test_small_chunks_are_no_such_framing(self) -> None:
        async with Listener(echo, **NARROW) as listener, await Wire.open(listener.url) as wire:
            await wire.send(
                request("/a", headers=["Transfer-Encoding: chunked"]) + b"1\r\nx\r\n" * 5_000 + b"0\r\n\r\n"
            )
            assert len((await wire.response()).body) == 5_008

    async def test_requests_that_wait_in_a_connection_are_bounded(self) -> None:
        held = Held()
        async with Listener(held) as listener, await Wire.open(listener.url) as wire:
            await wire.send(GET * (PIPELINE_MAX + 5))
            wire.finish()
            await held.entered.wait()
            held.gate.set()
            statuses = [(await wire.response()).status for _ in range(PIPELINE_MAX + 2)]
            assert statuses == [200] * (PIPELINE_MAX + 1) + [429]
            assert await wire.closed() == b""

    async def test_a_large_body_is_read_no_faster_than_it_is_taken(self) -> None:
        held = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await held.wait()
            await answer(send, b"%d" % len(await whole(receive)))

        async with Listener(slow) as listener, await Wire.open(listener.url) as wire:
            sending = asyncio.create_task(wire.send(request("/a", bytes(16 << 20))))
            await until(lambda: listener.state.connections and only(listener).flow.read_paused)
            held.set()
            await sending
            assert (await wire.response()).body == b"%d" % (16 << 20)


class TestContinue:
    ASK = request("/a", headers=["Expect: 100-continue"], length=3)

    async def test_who_waits_to_go_on_is_told_to(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(self.ASK)
            assert (await wire.response()).status == 100
            await wire.send(b"abc")
            assert (await wire.response()).body == b"POST /a abc"
            assert (await wire.ask("/b")).status == 200

    async def test_who_is_refused_before_is_not_and_may_not_stay(self) -> None:
        async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
            await answer(send, b"no", 413)

        async with Listener(hasty) as listener, await Wire.open(listener.url) as wire:
            await wire.send(self.ASK)
            response = await wire.response()
            assert (response.status, response.headers["connection"]) == (413, "close")


class TestTime:
    @pytest.mark.parametrize("first", [b"G", b"GET /a HTTP/1.1\r\nHost: x\r\n"])
    async def test_headers_that_do_not_end_are_refused(self, first: bytes) -> None:
        async with Listener(echo, header_timeout=ms(20)) as listener, await Wire.open(listener.url) as wire:
            await wire.send(first)
            response = await wire.response()
            assert (response.status, response.json()["detail"]) == (408, "the headers took too long to arrive")
            assert await wire.closed() == b""

    async def test_dripping_does_not_win_time(self) -> None:
        async with Listener(echo, header_timeout=ms(20)) as listener, await Wire.open(listener.url) as wire:
            await wire.send(b"GET /a HTTP/1.1\r\nX: ")
            answered = asyncio.create_task(wire.response())
            while not answered.done():
                await wire.send(b"y")
                await asyncio.sleep(0.001)
            assert (await answered).status == 408

    async def test_a_body_that_does_not_end_is_refused(self) -> None:
        async with Listener(echo, body_timeout=ms(20)) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a", b"ab", length=3))
            response = await wire.response()
            assert (response.status, response.json()["detail"]) == (408, "the body took too long to arrive")
            assert await wire.closed() == b""

    @pytest.mark.parametrize(("size", "rate", "status"), [(10_239, 1_024, 408), (10_240, 1_024, 200), (1, 0, 200)])
    async def test_a_stream_that_comes_on_too_slowly_is_refused(self, size: int, rate: int, status: int) -> None:
        received = 0

        async def streamed(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal received
            scope[STREAMED], more = True, True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                received, more = received + len(message["body"]), message["more_body"]
            await answer(send, b"done")

        limits: dict[str, Any] = {"body_timeout": ms(10_000), "rate_min": Size(rate)}
        async with Listener(streamed, **limits) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a", b"x", length=size + 2))
            await until(lambda: received == 1)
            connection = only(listener)
            # As if the first byte had come nine seconds ago.
            connection._since -= 9
            connection._came_bytes = 0
            await wire.send(bytes(size))
            await until(lambda: received == size + 1)
            connection.check_time(connection.loop.time() + 2)
            if status == 200:
                await wire.send(b"x")
            assert (await wire.response()).status == status

    async def test_a_connection_without_a_request_is_closed_without_a_word(self) -> None:
        async with Listener(echo, idle_timeout=ms(20)) as listener, await Wire.open(listener.url) as wire:
            assert await wire.closed() == b""

    async def test_a_connection_is_idle_again_after_an_answer(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            assert (await wire.ask("/a")).status == 200
            only(listener).check_time(asyncio.get_running_loop().time() + 3_600)
            assert await wire.closed() == b""

    async def test_work_on_an_answer_is_no_idleness(self) -> None:
        held = Held()
        async with Listener(held) as listener, await Wire.open(listener.url) as wire:
            await wire.send(GET)
            await held.entered.wait()
            connection = only(listener)
            for _ in range(3):
                connection.check_time(connection.loop.time() + 3_600)
            held.gate.set()
            assert (await wire.response()).body == b"/a"

    async def test_a_body_that_nobody_takes_is_not_late(self) -> None:
        gate = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await gate.wait()
            await answer(send, b"%d" % len(await whole(receive)))

        async with Listener(slow) as listener, await Wire.open(listener.url) as wire:
            sending = asyncio.create_task(wire.send(request("/a", bytes(16 << 20))))
            await until(lambda: listener.state.connections and only(listener).flow.read_paused)
            only(listener).check_time(asyncio.get_running_loop().time() + 3_600)
            gate.set()
            await sending
            assert (await wire.response()).body == b"%d" % (16 << 20)


class Flood:
    """An application that answers more than any buffer holds."""

    size = 16 << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, bytes(self.size))


async def blocked(listener: Listener) -> LimitedProtocol:
    """The connection, once its answer has filled all buffers on the way."""
    await until(lambda: listener.state.connections and only(listener).flow.write_paused)
    return only(listener)


class TestReaders:
    async def test_a_peer_that_takes_nothing_is_left(self) -> None:
        async with Listener(Flood()) as listener, await Wire.open(listener.url) as wire:
            wire.pause()
            await wire.send(GET)
            connection = await blocked(listener)
            now = connection.loop.time()
            connection.check_time(now)
            connection.check_time(now + 3_600)
            await settled(listener)

    @pytest.mark.parametrize("ended", [True, False])
    async def test_one_that_follows_gets_a_last_word_behind_what_waits_for_it(self, ended: bool) -> None:
        gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def feed(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [], "follows": b"too slow"})
            count = 0
            leaving = asyncio.ensure_future(disconnected(receive))
            while not leaving.done():
                await send_part(send, b"%7d\n" % count * (1 << 13))
                count += 1
            gone.set_result(count - 1)

        async with Listener(feed, body_timeout=ms(10_000)) as listener, await Wire.open(listener.url) as wire:
            wire.pause()
            await wire.send(GET)
            connection = await blocked(listener)
            now = connection.loop.time()
            connection.check_time(now)
            connection.check_time(now + 11)
            count = await gone
            if ended:
                wire.go_on()
                *lines, last = (await wire.response()).body.split(b"\n")
                assert last == b"too slow"
                assert [int(line) for line in lines] == [each for each in range(count) for _ in range(1 << 13)]
            else:
                # It takes nothing still.
                connection.check_time(now + 12)
                connection.check_time(now + 23)
                await settled(listener)

    async def test_a_peer_that_takes_some_is_not(self) -> None:
        async with Listener(Flood()) as listener, await Wire.open(listener.url) as wire:
            wire.pause()
            await wire.send(GET)
            connection = await blocked(listener)
            now = connection.loop.time()
            connection.check_time(now)
            left = connection.transport.get_write_buffer_size()
            wire.go_on()
            response = asyncio.create_task(wire.response())
            await until(lambda: connection.transport.get_write_buffer_size() != left)
            connection.check_time(now + 31)
            assert len((await response).body) == Flood.size

    @pytest.mark.parametrize(("taken", "left"), [(30 * 1_024 - 1, True), (30 * 1_024, False)])
    async def test_a_peer_that_takes_less_than_the_least_rate_is_left(self, taken: int, left: bool) -> None:
        async with Listener(Flood()) as listener, await Wire.open(listener.url) as wire:
            wire.pause()
            await wire.send(GET)
            connection = await blocked(listener)
            now = connection.loop.time()
            connection.check_time(now)
            # As if so much more had been written and taken.
            connection.written += taken
            connection.check_time(now + 31)
            assert connection.transport.is_closing() == left

    async def test_one_that_follows_may_take_as_little_as_it_likes(self) -> None:
        async def feed(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [], "follows": b"too slow"})
            while True:
                await send_part(send, bytes(1 << 16))

        async with Listener(feed) as listener, await Wire.open(listener.url) as wire:
            wire.pause()
            await wire.send(GET)
            connection = await blocked(listener)
            now = connection.loop.time()
            connection.check_time(now)
            connection.written += 1
            connection.check_time(now + 31)
            assert not connection.transport.is_closing()

    async def test_the_application_waits_for_a_slow_reader(self) -> None:
        sent: list[int] = []

        async def chatty(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for number in range(300):
                await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": number < 299})
                sent.append(number)

        async with Listener(chatty) as listener, await Wire.open(listener.url) as wire:
            wire.pause()
            await wire.send(GET)
            await blocked(listener)
            assert len(sent) < 300
            wire.go_on()
            assert len((await wire.response()).body) == 300 << 16


class TestHalfClosed:
    async def test_who_says_that_nothing_more_comes_is_answered(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(request("/a") + request("/b"))
            wire.finish()
            assert [(await wire.response()).body for _ in range(2)] == [b"POST /a ", b"POST /b "]
            assert await wire.closed() == b""

    @pytest.mark.parametrize("sent", [b"", b"GET /a HT", request("/a", b"ab", length=3)])
    async def test_half_a_request_is_not(self, sent: bytes) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(sent)
            wire.finish()
            assert await wire.closed() == b""

    async def test_a_refusal_reaches_who_is_still_sending(self) -> None:
        async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
            await answer(send, b"no", 413, (b"connection", b"close"))

        async with Listener(hasty) as listener, await Wire.open(listener.url) as wire:
            sending = asyncio.create_task(wire.send(request("/a", bytes(16 << 20))))
            assert (await wire.response()).status == 413
            await sending

    async def test_who_goes_on_sending_after_it_is_cut_off(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(b"rubbish\r\n\r\n")
            assert (await wire.response()).status == 400
            connection = only(listener)
            connection.check_time(connection.loop.time() + LINGER_S - 1)
            await wire.send(b"more")
            assert listener.state.connections
            connection.check_time(connection.loop.time() + LINGER_S + 1)
            await settled(listener)

    async def test_who_sends_too_much_after_it_is_cut_off_at_once(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(b"rubbish\r\n\r\n")
            assert (await wire.response()).status == 400
            connection = only(listener)
            for _ in range(LINGER_MAX_BYTES >> 20):
                connection.data_received(bytes(1 << 20))
            assert listener.state.connections
            connection.data_received(b"more")
            await settled(listener)

    async def test_who_resets_the_connection_is_told_of_to_the_application(self) -> None:
        hung_up = asyncio.Event()

        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            await whole(receive)
            assert (await receive())["type"] == "http.disconnect"
            hung_up.set()

        async with Listener(waiting) as listener:
            with reset_at_close(listener) as raw:
                raw.sendall(GET)
                await until(lambda: listener.state.tasks)
            async with asyncio.timeout(10):
                await hung_up.wait()

    async def test_what_the_application_says_to_who_has_gone_goes_nowhere(self) -> None:
        held = Held()
        async with Listener(held) as listener:
            with reset_at_close(listener) as raw:
                raw.sendall(GET)
                await held.entered.wait()
            await settled(listener)
            held.gate.set()
            await until(lambda: not listener.state.tasks)


class TestConnections:
    async def test_one_over_the_limit_is_told_to_wait(self) -> None:
        async with Listener(echo, connections_max=1) as listener, await Wire.open(listener.url) as first:
            assert (await first.ask("/a")).status == 200
            async with await Wire.open(listener.url) as second:
                response = await second.response()
                problem = response.json()
                assert (response.status, problem["code"], problem["retryable"]) == (429, "exhausted", True)
                assert (response.headers["retry-after"], await second.closed()) == ("1", b"")
            assert (await first.ask("/a")).status == 200

    async def test_one_that_goes_makes_room(self) -> None:
        async with Listener(echo, connections_max=1) as listener:
            async with await Wire.open(listener.url) as first:
                await first.ask("/a")
            await settled(listener)
            assert (await ask(listener.url, "/b")).status == 200

    async def test_a_reset_is_an_end_like_others(self) -> None:
        async with Listener(echo) as listener:
            with reset_at_close(listener) as raw:
                raw.sendall(b"GET /a HT")
                await until(lambda: listener.state.connections)
            await settled(listener)


class TestShutdown:
    async def test_an_idle_connection_is_closed(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.ask("/a")
            only(listener).shutdown()
            assert await wire.closed() == b""

    async def test_a_request_that_has_only_begun_is_not_waited_for(self) -> None:
        async with Listener(echo) as listener, await Wire.open(listener.url) as wire:
            await wire.send(b"GET /a HT")
            await reached(listener, "headers")
            only(listener).shutdown()
            assert await wire.closed() == b""

    async def test_a_request_under_way_is_answered_and_closed(self) -> None:
        held = Held()
        async with Listener(held) as listener, await Wire.open(listener.url) as wire:
            await wire.send(GET)
            await held.entered.wait()
            only(listener).shutdown()
            held.gate.set()
            response = await wire.response()
            assert (response.body, response.headers["connection"]) == (b"/a", "close")
            assert await wire.closed() == b""


async def test_the_connections_of_a_server_are_its_open_ones() -> None:
    async with Listener(echo) as listener:
        async with await Wire.open(listener.url) as one, await Wire.open(listener.url) as other:
            await one.ask("/a")
            await other.ask("/a")
            connections: list[Any] = connections_of(listener.state)
            assert len(connections) == 2
        await settled(listener)
