"""Heads that are known by their bytes: which are learned, what they lead to, and that nobody outside can tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.runtime.notes.service import NotesService
from tests.surface.http.asgi_listener import Listener
from tests.surface.http.conftest import OpenStage
from tests.surface.http.wire import Response, Wire, request, until

from soundstage.data.kv import KeyValue, MatchKeys, Predicate, PutItem
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens.api import Tokens
from soundstage.surface.http.app import Application
from soundstage.surface.http.asgi import Receive, Scope, Send
from soundstage.surface.http.protocol import LimitedProtocol, connections_of
from soundstage.surface.http.reply import Reply
from soundstage.surface.http.shortcut import HEAD_MAX_BYTES, HEADS_MAX, Shortcuts, is_plain, response

GET, PUT, WRITE, DISTURB = "/v1/kv/get_items", "/v1/kv/put_items", "/v1/notes/write", "/v1/notes/disturb"
KEY = msgspec.json.encode({"namespace": "people", "id": "ada", "predicate": {"match_keys": {"keys": ["aw=="]}}})
NOTE = {"namespace": "home", "name": "milk", "text": "two"}
DATE = b"date: today\r\n"


class Counted:
    """An application that counts what comes to it by ASGI."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.passed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed += 1
        await self.application(scope, receive, send)


class Served:
    """A stage behind one listener that takes shortcuts."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.counted = Counted(application)
        self.shortcuts = Shortcuts()
        self.shortcuts.application = application
        self.listener = Listener(self.counted, shortcuts=self.shortcuts)

    @property
    def passed(self) -> int:
        return self.counted.passed

    def connection(self) -> LimitedProtocol:
        (found,) = connections_of(self.listener.state)
        return found


@pytest.fixture
async def served(stage: Stage) -> AsyncIterator[Served]:
    found = Served(Application(stage, HttpConfig()))
    async with found.listener:
        yield found


@pytest.fixture
async def wire(served: Served) -> AsyncIterator[Wire]:
    async with await Wire.open(served.listener.url) as wire:
        yield wire


@pytest.fixture
async def ada(stage: Stage) -> KeyValue:
    kv = stage.client(KeyValue, "people")
    await kv.put_items(id="ada", items=[PutItem(key=b"k", value=b"1")])
    return kv


async def asked(wire: Wire, path: str, body: bytes, *headers: str) -> Response:
    await wire.send(request(path, body, headers=headers))
    return await wire.response()


def told(answer: Response) -> tuple[int, dict[str, str], bytes]:
    """All of a response but for the second it was made in, and the name it was given."""
    given = answer.headers["x-request-id"]
    headers = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
    body = answer.body.replace(given.encode(), b"")
    return answer.status, {**headers, "content-length": str(len(body))}, body


def scope_of(data: bytes) -> Scope:
    """The scope of a request as bytes."""
    first, *lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    headers = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
    method, path, version = first.decode().split()
    return {"method": method, "path": path, "http_version": version.removeprefix("HTTP/"), "headers": headers}


@pytest.fixture
def shortcuts(stage: Stage) -> Shortcuts:
    found = Shortcuts()
    found.application = Application(stage, HttpConfig())
    return found


def learned(shortcuts: Shortcuts, data: bytes) -> bool:
    """Whether `data` is found again."""
    shortcuts.learn(data, scope_of(data))
    return shortcuts.find(data) is not None


class TestLearning:
    def test_a_plain_call_is_learned(self, shortcuts: Shortcuts) -> None:
        assert learned(shortcuts, request(GET, KEY))

    def test_nothing_is_known_at_first(self, shortcuts: Shortcuts) -> None:
        assert shortcuts.find(request(GET, KEY)) is None

    def test_nothing_is_learned_while_nobody_answers(self) -> None:
        assert not learned(Shortcuts(), request(GET, KEY))

    def test_another_body_of_the_same_length_has_the_same_head(self, shortcuts: Shortcuts) -> None:
        shortcuts.learn(request(GET, KEY), scope_of(request(GET, KEY)))
        assert shortcuts.find(request(GET, b"x" * len(KEY))) is not None

    @pytest.mark.parametrize("cut", [slice(None, -1), slice(None, 20), slice(1, None), slice(0, 0)])
    def test_what_is_not_there_whole_is_not_found(self, shortcuts: Shortcuts, cut: slice) -> None:
        assert learned(shortcuts, request(GET, KEY))
        assert shortcuts.find(request(GET, KEY)[cut]) is None

    def test_nor_what_is_followed_by_more(self, shortcuts: Shortcuts) -> None:
        assert learned(shortcuts, request(GET, KEY))
        assert shortcuts.find(request(GET, KEY) * 2) is None

    @pytest.mark.parametrize(
        "header",
        [
            "Content-Encoding: gzip",
            "Connection: close",
            "Connection: upgrade",
            "Cookie: a=b",
            "Expect: 100-continue",
            "Idempotency-Key: k",
            "Origin: http://localhost",
            "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "Transfer-Encoding: chunked",
            "X-Request-Id: r",
        ],
    )
    def test_a_head_that_says_more_is_not_learned(self, shortcuts: Shortcuts, header: str) -> None:
        assert not learned(shortcuts, request(GET, KEY, headers=[header]))

    @pytest.mark.parametrize(
        "header",
        ["Accept: */*", "Accept-Encoding: gzip", "Authorization: Bearer a", "Connection: Keep-Alive", "User-Agent: a"],
    )
    def test_a_head_that_says_what_all_of_its_sender_do_is_learned(self, shortcuts: Shortcuts, header: str) -> None:
        assert learned(shortcuts, request(GET, KEY, headers=[header]))

    @pytest.mark.parametrize(
        "data",
        [
            request("/v1/kv/nothing", KEY),
            request("/v1/namespaces/watch", b"{}"),
            request("/metrics", method="GET"),
            request(GET, KEY, method="PUT"),
            request(GET),
            request(GET, KEY).replace(b"HTTP/1.1", b"HTTP/1.0"),
            request(GET, KEY).replace(b"application/json", b"text/plain"),
            request(GET, b"x" * 65_537),
            request(GET, KEY, headers=["User-Agent: " + "x" * HEAD_MAX_BYTES]),
        ],
        ids=["unknown", "feed", "page", "method", "bodiless", "old", "format", "large", "long head"],
    )
    def test_what_is_no_plain_call_is_not(self, shortcuts: Shortcuts, data: bytes) -> None:
        assert not learned(shortcuts, data)

    def test_two_requests_at_once_teach_nothing(self, shortcuts: Shortcuts) -> None:
        first, second = request(WRITE, b"{}"), request(GET, KEY)
        shortcuts.learn(first + second, scope_of(second))
        assert shortcuts.find(first) is None
        assert shortcuts.find(second) is None

    def test_the_first_is_forgotten_when_there_are_too_many(self, shortcuts: Shortcuts) -> None:
        many = [request(GET, b"x" * number) for number in range(1, HEADS_MAX + 2)]
        assert all(learned(shortcuts, data) for data in many)
        assert [shortcuts.find(data) is not None for data in (many[0], many[1], many[-1])] == [False, True, True]

    @pytest.mark.parametrize(
        ("version", "headers", "plain"),
        [
            ("1.1", [(b"host", b"a")], True),
            ("1.1", [], True),
            ("1.0", [(b"host", b"a")], False),
            ("1.1", [(b"connection", b"keep-alive, upgrade")], False),
            ("1.1", [(b"x-own", b"1")], False),
        ],
    )
    def test_plain_is_what_is_known_to_be(self, version: str, headers: list[tuple[bytes, bytes]], plain: bool) -> None:
        assert is_plain(version, headers) is plain


class TestCalls:
    async def test_the_second_call_takes_the_shortcut(self, served: Served, wire: Wire, ada: KeyValue) -> None:
        answers = [told(await asked(wire, GET, KEY)) for _ in range(3)]
        assert served.passed == 1
        assert answers[0] == answers[1] == answers[2]

    async def test_another_connection_takes_it_too(self, served: Served, wire: Wire, ada: KeyValue) -> None:
        await asked(wire, GET, KEY)
        async with await Wire.open(served.listener.url) as other:
            assert (await asked(other, GET, KEY)).status == 200
        assert served.passed == 1

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            (GET, b"{"),
            (GET, b'{"namespace":"people"}'),
            (GET, b'{"namespace":"nowhere","id":"a"}'),
            (PUT, b'{"namespace":"people","id":"","items":[]}'),
            (DISTURB, b'{"how":"defect"}'),
            (WRITE, msgspec.json.encode(NOTE)),
        ],
    )
    async def test_every_answer_is_the_same_either_way(
        self, served: Served, wire: Wire, path: str, body: bytes
    ) -> None:
        first, second = told(await asked(wire, path, body)), told(await asked(wire, path, body))
        assert first == second
        assert served.passed == 1

    async def test_a_write_is_there(self, served: Served, wire: Wire, ada: KeyValue) -> None:
        for value in ("MQ==", "Mg==", "Mw=="):
            body = {"namespace": "people", "id": "ada", "items": [{"key": "aw==", "value": value}]}
            assert (await asked(wire, PUT, msgspec.json.encode(body))).status == 200
        found = await ada.get_items(id="ada", predicate=Predicate(match_keys=MatchKeys(keys=[b"k"])))
        assert (served.passed, found.items[0].value) == (1, b"3")

    async def test_the_reply_has_the_format_that_is_accepted(self, served: Served, wire: Wire, ada: KeyValue) -> None:
        answers = [await asked(wire, GET, KEY, "Accept: application/msgpack") for _ in range(2)]
        assert [answer.headers["content-type"] for answer in answers] == ["application/msgpack"] * 2
        assert msgspec.msgpack.decode(answers[1].body)["items"][0]["value"] == b"1"

    async def test_a_large_reply_is_compressed_as_accepted(self, served: Served, wire: Wire, ada: KeyValue) -> None:
        await ada.put_items(id="ada", items=[PutItem(key=b"k", value=bytes(3_000))])
        answers = [await asked(wire, GET, KEY, "Accept-Encoding: gzip") for _ in range(2)]
        assert [answer.headers["content-encoding"] for answer in answers] == ["gzip"] * 2
        assert told(answers[0]) == told(answers[1])

    async def test_a_stage_that_closes_refuses_it(self, served: Served, wire: Wire, ada: KeyValue) -> None:
        await asked(wire, GET, KEY)
        served.application.closed = "the server is stopping"
        answer = await asked(wire, GET, KEY)
        assert (served.passed, answer.status, answer.headers["retry-after"]) == (1, 503, "1")

    async def test_a_refused_call_is_counted_as_one_that_failed(
        self, stage: Stage, served: Served, wire: Wire, ada: KeyValue
    ) -> None:
        bound = next(bound for bound in stage.operations().values() if bound.operation.path == GET)
        await asked(wire, GET, KEY)
        served.application.closed = "the server is stopping"
        await asked(wire, GET, KEY)
        assert bound.stats.failures == {"unavailable": 1}

    async def test_a_deadline_holds(self, served: Served, wire: Wire, ada: KeyValue) -> None:
        answers = [await asked(wire, GET, KEY, "Soundstage-Timeout: 5s") for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        late = [await asked(wire, DISTURB, b'{"how":"sleep"}', "Soundstage-Timeout: 1ms") for _ in range(2)]
        assert [answer.status for answer in late] == [504, 504]
        assert served.passed == 2

    async def test_a_token_is_asked_for_every_time(self, open_stage: OpenStage) -> None:
        stage = await open_stage(auth={"mode": "tokens"})
        tokens = stage.client(Tokens)
        bearer = (await tokens.create(name="reader", roles=["read"])).bearer
        served = Served(Application(stage, HttpConfig()))
        async with served.listener, await Wire.open(served.listener.url) as wire:
            header = f"Authorization: Bearer {bearer}"
            assert (await asked(wire, GET, KEY, header)).status == 200
            await tokens.revoke(id="reader")
            assert (await asked(wire, GET, KEY, header)).status == 401
        assert served.passed == 1

    async def test_answers_of_one_turn_leave_together(self, served: Served, wire: Wire, ada: KeyValue) -> None:
        await asked(wire, GET, KEY)
        connection, data = served.connection(), request(GET, KEY)
        connection.data_received(data)
        assert connection.transport.get_write_buffer_size() == 0
        connection.data_received(data)
        assert [(await wire.response()).status for _ in range(2)] == [200, 200]

    async def test_an_answer_leaves_before_its_connection_closes(
        self, served: Served, wire: Wire, ada: KeyValue
    ) -> None:
        await asked(wire, GET, KEY)
        connection = served.connection()
        connection.data_received(request(GET, KEY))
        connection.shutdown()
        assert (await wire.response()).status == 200
        assert await wire.closed() == b""

    async def test_a_request_that_cannot_be_read_is_refused_after_it(
        self, served: Served, wire: Wire, ada: KeyValue
    ) -> None:
        await asked(wire, GET, KEY)
        connection = served.connection()
        connection.data_received(request(GET, KEY))
        connection.data_received(b"\x00\r\n\r\n")
        assert [(await wire.response()).status for _ in range(2)] == [200, 400]

    async def test_requests_are_counted(self, served: Served, wire: Wire, ada: KeyValue) -> None:
        for _ in range(3):
            await asked(wire, GET, KEY)
        assert served.listener.state.total_requests == 3


class TestWaiting:
    """A call that has to wait, on a connection that goes on meanwhile."""

    @pytest.fixture
    async def held(self, served: Served, wire: Wire, notes: NotesService) -> bytes:
        """A call that does not end before `notes.gate` is set, under way by the shortcut."""
        data = request(DISTURB, b'{"how":"wait"}')
        notes.gate.set()
        await wire.send(data)
        await wire.response()
        notes.gate.clear()
        await wire.send(data)
        await until(lambda: served.listener.state.tasks)
        return data

    async def test_it_is_answered_in_its_time(
        self, served: Served, wire: Wire, held: bytes, notes: NotesService
    ) -> None:
        notes.gate.set()
        assert (await wire.response()).status == 200
        assert served.passed == 1

    async def test_what_is_sent_meanwhile_is_answered_after_it(
        self, served: Served, wire: Wire, held: bytes, notes: NotesService, ada: KeyValue
    ) -> None:
        await wire.send(request(GET, KEY) + request("/v1/nowhere", b"{}"))
        await until(lambda: served.connection().flow.read_paused)
        notes.gate.set()
        assert [(await wire.response()).status for _ in range(3)] == [200, 200, 404]

    async def test_a_connection_that_is_shut_down_has_its_answer_first(
        self, served: Served, wire: Wire, held: bytes, notes: NotesService
    ) -> None:
        served.connection().shutdown()
        notes.gate.set()
        answer = await wire.response()
        assert (answer.status, answer.headers["connection"], await wire.closed()) == (200, "close", b"")

    async def test_a_caller_that_has_said_all_has_its_answer(
        self, served: Served, wire: Wire, held: bytes, notes: NotesService
    ) -> None:
        wire.finish()
        await asyncio.sleep(0)
        notes.gate.set()
        assert (await wire.response()).status == 200
        assert await wire.closed() == b""

    async def test_a_caller_that_leaves_ends_nothing_but_its_connection(
        self, served: Served, wire: Wire, held: bytes, notes: NotesService
    ) -> None:
        wire.transport.abort()
        notes.gate.set()
        await until(lambda: not served.listener.state.connections and not served.listener.state.tasks)
        async with await Wire.open(served.listener.url) as other:
            assert (await asked(other, DISTURB, b'{"how":"wait"}')).status == 200

    async def test_one_that_is_cancelled_breaks_the_connection_off(
        self, served: Served, wire: Wire, held: bytes
    ) -> None:
        for task in list(served.listener.state.tasks):
            task.cancel()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await wire.response()

    async def test_one_that_is_cancelled_is_under_way_until_it_has_cleaned_up(
        self, served: Served, wire: Wire, notes: NotesService
    ) -> None:
        data = request(DISTURB, b'{"how":"tidy"}')
        notes.gate.set()
        await asked(wire, DISTURB, b'{"how":"tidy"}')
        notes.gate.clear()
        notes.entered.clear()
        await wire.send(data)
        await notes.entered.wait()
        (under_way,) = served.listener.state.tasks
        assert under_way.cancel()
        assert (under_way.done(), notes.log.count("tidied")) == (False, 1)
        await asyncio.wait({under_way})
        assert notes.log.count("tidied") == 2
        assert not under_way.cancel()


class TestResponses:
    def test_a_reply_is_one_piece(self) -> None:
        reply = Reply(200, [(b"content-type", b"application/json")], b"{}")
        assert response(reply, DATE, "r") == (
            b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
            b"x-request-id: r\r\n\r\n{}"
        )

    def test_the_last_one_says_so(self) -> None:
        reply = Reply(200, [(b"content-type", b"application/json")], b"{}")
        assert response(reply, DATE, "r", keep_alive=False).endswith(b"\r\nconnection: close\r\n\r\n{}")

    def test_a_problem_has_its_headers(self) -> None:
        reply = Reply(503, [(b"content-type", b"application/problem+json"), (b"retry-after", b"1")], b"{}")
        assert response(reply, DATE, "r").startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in response(reply, DATE, "r")

    def test_a_header_with_a_line_break_is_none(self) -> None:
        reply: Any = Reply(400, [(b"content-type", b"a\r\nb: c")], b"")
        with pytest.raises(ValueError, match="line break"):
            response(reply, DATE, "r")
