"""Calls, in process: formats, headers and what is made of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NoReturn

import msgspec
import pytest
from tests.runtime.notes.service import NotesService
from tests.surface.http.asgi_client import Caller
from tests.surface.http.conftest import OpenStage

from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.http.app import Application

WRITE, READ, DISTURB = "/v1/notes/write", "/v1/notes/read", "/v1/notes/disturb"
NOTE = {"namespace": "home", "name": "milk", "text": "two"}
MSGPACK = "application/msgpack"


async def test_json_is_answered_in_json(caller: Caller) -> None:
    answer = await caller.post(WRITE, NOTE)
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/json", b'{"written":3}')


async def test_messagepack_is_answered_in_messagepack(caller: Caller) -> None:
    answer = await caller.ask(WRITE, msgspec.msgpack.encode(NOTE), content_type=MSGPACK)
    assert (answer.status, answer.headers["content-type"], answer.msgpack()) == (200, MSGPACK, {"written": 3})


async def test_accept_goes_before_the_format_of_the_request(caller: Caller) -> None:
    answer = await caller.post(WRITE, NOTE, accept=MSGPACK)
    assert (answer.headers["content-type"], answer.msgpack()) == (MSGPACK, {"written": 3})


async def test_an_accept_of_what_is_not_written_here_is_as_good_as_none(caller: Caller) -> None:
    answer = await caller.post(WRITE, NOTE, accept="image/png")
    assert answer.headers["content-type"] == "application/json"


async def test_a_request_id_is_echoed_and_given_to_the_handler(caller: Caller, notes: NotesService) -> None:
    answer = await caller.post(WRITE, NOTE, x_request_id="checkout-42")
    assert (answer.headers["x-request-id"], notes.calls[-1].request_id) == ("checkout-42", "checkout-42")


async def test_a_request_id_is_made_where_none_is_sent(caller: Caller, notes: NotesService) -> None:
    answer = await caller.post(WRITE, NOTE)
    assert len(answer.headers["x-request-id"]) == 32
    assert notes.calls[-1].request_id == answer.headers["x-request-id"]


@pytest.mark.parametrize("unfit", ["a b", "x" * 129, "a\x7fb", ""])
async def test_an_unfit_request_id_is_replaced(caller: Caller, unfit: str) -> None:
    answer = await caller.post(WRITE, NOTE, x_request_id=unfit)
    assert len(answer.headers["x-request-id"]) == 32


async def test_a_problem_names_its_request(caller: Caller) -> None:
    answer = await caller.post("/v1/notes/wirte", NOTE, x_request_id="r-7")
    assert answer.json()["request_id"] == "r-7"


async def test_a_trace_is_passed_on(caller: Caller, notes: NotesService) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await caller.post(WRITE, NOTE, traceparent=parent)
    assert notes.calls[-1].trace == parent


async def test_a_malformed_trace_is_ignored(caller: Caller, notes: NotesService) -> None:
    assert (await caller.post(WRITE, NOTE, traceparent="00-zz-1-01")).status == 200
    assert notes.calls[-1].trace is None


async def test_an_idempotency_key_makes_two_calls_one(caller: Caller, notes: NotesService) -> None:
    first = await caller.post(DISTURB, {"how": "not at all"}, idempotency_key="k-1")
    again = await caller.post(DISTURB, {"how": "not at all"}, idempotency_key="k-1")
    assert (first.json(), again.json(), notes.disturbed) == ({"count": 1}, {"count": 1}, 1)


async def test_an_idempotency_key_with_another_body_is_refused(caller: Caller) -> None:
    await caller.post(DISTURB, {"how": "not at all"}, idempotency_key="k-1")
    answer = await caller.post(DISTURB, {"how": "otherwise"}, idempotency_key="k-1")
    assert (answer.status, answer.json()["code"]) == (422, "token_reused")


async def test_an_idempotency_key_in_use_is_in_progress(caller: Caller, notes: NotesService) -> None:
    first = asyncio.create_task(caller.post(DISTURB, {"how": "wait"}, idempotency_key="k-1"))
    await notes.entered.wait()
    answer = await caller.post(DISTURB, {"how": "wait"}, idempotency_key="k-1")
    notes.gate.set()
    await first
    assert (answer.status, answer.json()["code"]) == (409, "in_progress")


async def test_a_deadline_ends_a_call(caller: Caller) -> None:
    answer = await caller.post(DISTURB, {"how": "wait"}, soundstage_timeout="20ms")
    problem = answer.json()
    assert (answer.status, problem["code"], problem["outcome"]) == (504, "deadline", "unknown")


@pytest.mark.parametrize("text", ["soon", "250", "-1s", "0s", "1 parsec"])
async def test_a_deadline_that_is_no_time_is_refused(caller: Caller, text: str) -> None:
    answer = await caller.post(WRITE, NOTE, soundstage_timeout=text)
    problem = answer.json()
    assert (answer.status, problem["field"]) == (400, "Soundstage-Timeout")
    assert problem["hint"]


async def test_a_defect_is_told_without_its_details(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        answer = await caller.post(DISTURB, {"how": "defect"}, x_request_id="r-9")
    problem = answer.json()
    assert (answer.status, problem["code"], problem["request_id"]) == (500, "internal", "r-9")
    assert b"secret detail" not in answer.body
    assert b"Traceback" not in answer.body


async def test_a_defect_of_the_surface_is_a_problem_too(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caller = Caller(Application(stage, HttpConfig()))

    def broken() -> bytes:
        raise KeyError("secret detail")

    monkeypatch.setattr(stage, "metrics_text", broken)
    answer = await caller.ask("/metrics", x_request_id="r-9")
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert b"secret" not in answer.body
    assert "r-9" in answer.json()["hint"]
    assert "a request failed by a defect" in caplog.text


async def test_who_hangs_up_gets_nothing(caller: Caller, notes: NotesService) -> None:
    answer = await caller.ask(WRITE, parts=[b'{"name'], hangs_up=True, content_type="application/json")
    assert (answer.status, notes.calls) == (0, [])


async def test_a_body_in_parts_is_one(caller: Caller) -> None:
    body = msgspec.json.encode(NOTE)
    answer = await caller.ask(WRITE, parts=[body[:5], b"", body[5:]], content_type="application/json")
    assert answer.json() == {"written": 3}


async def test_other_scopes_than_http_are_let_be(stage: Stage) -> None:
    async def never(*_: object) -> NoReturn:
        raise AssertionError

    await Application(stage, HttpConfig())({"type": "lifespan"}, never, never)


async def test_a_large_reply_is_compressed_as_accepted(caller: Caller) -> None:
    answer = await caller.ask("/openapi.json", accept_encoding="gzip")
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "accept-encoding")
    assert int(answer.headers["content-length"]) == len(answer.body)


async def test_closed_means_unavailable_and_not_applied(stage: Stage, notes: NotesService) -> None:
    application = Application(stage, HttpConfig())
    application.closed = "the server is stopping"
    answer = await Caller(application).post(WRITE, NOTE)
    problem = answer.json()
    assert (answer.status, problem["code"], problem["outcome"]) == (503, "unavailable", "not_applied")
    assert (answer.headers["retry-after"], notes.calls) == ("1", [])


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:5173", "host": "evil.example"},
    ],
)
async def test_without_authentication_pages_of_other_sites_cannot_call(caller: Caller, headers: dict[str, str]) -> None:
    answer = await caller.post(WRITE, NOTE, **headers)
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("origin", ["http://localhost:7777", "http://127.0.0.1:7777", "https://[::1]:7777"])
async def test_pages_of_this_machine_may_call(caller: Caller, origin: str) -> None:
    answer = await caller.post(WRITE, NOTE, origin=origin, host=origin.partition("://")[2])
    assert answer.status == 200


async def test_programs_may_call_under_any_name(caller: Caller) -> None:
    assert (await caller.post(WRITE, NOTE, host="stage.internal:7777")).status == 200


async def test_pages_are_not_shown_under_other_names(caller: Caller) -> None:
    answer = await caller.ask("/status.json", host="rebound.example:7777")
    assert answer.status == 403


async def test_with_tokens_any_name_will_do(open_stage: OpenStage) -> None:
    caller = Caller(Application(await open_stage(auth={"mode": "tokens"}), HttpConfig()))
    answer = await caller.post(WRITE, NOTE, origin="https://console.example", host="stage.example")
    assert answer.status == 401


READ_NOTE = "/v1/notes/read"


def failures(stage: Stage) -> dict[str, int]:
    return stage.operation("notes", "read").stats.failures


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({}, b"{", "invalid_argument"),
        ({}, b'{"namespace": "home", "nmae": "a"}', "invalid_argument"),
        ({"content_type": "text/plain"}, b"", "invalid_argument"),
        ({"soundstage_timeout": "soon"}, b"{}", "invalid_argument"),
    ],
)
async def test_what_is_refused_at_the_door_is_a_call_that_failed(
    caller: Caller, stage: Stage, headers: dict[str, str], body: bytes, code: str
) -> None:
    sent: dict[str, Any] = {"content_type": "application/json", **headers}
    await caller.ask(READ_NOTE, body, **sent)
    assert failures(stage) == {code: 1}
    assert stage.operation("notes", "read").stats.calls == 1


@pytest.mark.parametrize("traced", [True, False])
async def test_where_calls_are_traced_it_is_known_when_they_came(open_stage: OpenStage, traced: bool) -> None:
    stage = await open_stage(telemetry={"traces": traced})
    before_ns = stage.environment.now_ns()
    await Caller(Application(stage, HttpConfig())).post(WRITE, NOTE)
    service: Any = stage.systems.service("notes")
    arrived_ns = service.calls[-1].arrived_ns
    assert before_ns <= arrived_ns <= stage.environment.now_ns() if traced else arrived_ns == 0


async def test_strangers_are_counted_and_logged(open_stage: OpenStage, caplog: pytest.LogCaptureFixture) -> None:
    stage = await open_stage(auth={"mode": "tokens"}, telemetry={"log_calls": True})
    with caplog.at_level("INFO", "soundstage.runtime"):
        answer = await Caller(Application(stage, HttpConfig())).post(READ_NOTE, {}, x_request_id="r-1")
    assert answer.status == 401
    assert failures(stage) == {"unauthenticated": 1}
    (line,) = [record for record in caplog.records if record.__dict__.get("request_id") == "r-1"]
    told = (line.message, line.__dict__["principal"], line.__dict__["outcome"])
    assert told == ("call", "", "unauthenticated")


async def test_a_call_that_runs_is_counted_once(caller: Caller, stage: Stage) -> None:
    await caller.post(READ_NOTE, {"namespace": "home", "name": "none"})
    assert failures(stage) == {"not_found": 1}
    assert stage.operation("notes", "read").stats.calls == 1
