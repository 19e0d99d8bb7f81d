"""Every way of asking wrongly, in JSON and in MessagePack: status, code, the field, and what to do about it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
import zstandard
from tests.runtime.notes.service import NotesService
from tests.surface.http.asgi_client import Answer, Caller
from tests.surface.http.conftest import OpenStage

from soundstage.core.environment import VirtualEnvironment
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.http.app import Application

JSON, MSGPACK = "application/json", "application/msgpack"
MEMBERS = {"type", "title", "status", "detail", "code", "retryable", "request_id"}

PUT, GET, DELETE = "/v1/kv/put_items", "/v1/kv/get_items", "/v1/kv/delete_items"
SCAN, BATCH, COUNT = "/v1/kv/scan_items", "/v1/kv/batch_get_items", "/v1/kv/count_items"
NAMESPACE = "/v1/namespaces/put"

ADA: dict[str, Any] = {"namespace": "people", "id": "ada"}
ITEM: dict[str, Any] = {"key": b"name", "value": b"Ada"}
STORE: dict[str, Any] = {**ADA, "items": [ITEM]}


MANY = [{"key": b"%d" % number, "value": b""} for number in range(5_001)]


def token(**parts: Any) -> dict[str, Any]:
    return {"generation_time": 1_700_000_000_000_000_000, "token": "t", **parts}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


class Wrong(NamedTuple):
    """A request and what is to be said of it; `says` is part of detail or hint."""

    path: str
    message: Any
    field: str | None
    says: str
    status: int = 400
    code: str = "invalid_argument"


WRONG = {
    "a number for text": Wrong(GET, {**ADA, "id": 1}, "id", "expected `str`, got `int`"),
    "text for a list": Wrong(PUT, {**ADA, "items": "x"}, "items", "expected `array`, got `str`"),
    "a number for bytes": Wrong(PUT, {**ADA, "items": [{"key": 5, "value": b""}]}, "items[0].key", "bytes"),
    "text for a boolean": Wrong(GET, {**ADA, "selection": {"reverse": "yes"}}, "selection.reverse", "bool"),
    "a fraction for an integer": Wrong(GET, {**ADA, "selection": {"item_limit": 1.5}}, "selection.item_limit", "int"),
    "null for what must be": Wrong(GET, {**ADA, "id": None}, "id", "expected `str`"),
    "an unknown field": Wrong(GET, {**ADA, "selecton": {}}, "selecton", "did you mean selection?"),
    "an unknown field inside": Wrong(
        GET, {**ADA, "selection": {"item_limt": 1}}, "selection.item_limt", "did you mean item_limit?"
    ),
    "an unknown field in a list": Wrong(
        PUT, {**ADA, "items": [ITEM, {**ITEM, "tll": "1s"}]}, "items[1].tll", "did you mean ttl?"
    ),
    "an unknown field far inside": Wrong(
        GET, {**ADA, "predicate": {"match_range": {"strat": b""}}}, "predicate.match_range.strat", "start?"
    ),
    "a missing field": Wrong(GET, {"namespace": "people"}, "id", "id is missing"),
    "a missing field inside": Wrong(PUT, {**ADA, "items": [{"key": b""}]}, "items[0].value", "is missing"),
    "an unknown namespace": Wrong(
        GET, {**ADA, "namespace": "poeple"}, "namespace", "did you mean 'people'?", 404, "not_found"
    ),
    "a namespace of another abstraction": Wrong(
        GET, {**ADA, "namespace": "home"}, "namespace", "'notes', not 'kv'", 404, "not_found"
    ),
    "an empty namespace": Wrong(GET, {**ADA, "namespace": ""}, "namespace", "name the namespace"),
    "no namespace": Wrong(GET, {"id": "ada"}, "namespace", "name the namespace"),
    "an empty id": Wrong(GET, {**ADA, "id": ""}, "id", "use 1 to 1024 bytes"),
    "a long id": Wrong(GET, {**ADA, "id": "é" * 513}, "id", "1026 bytes"),
    "a long key": Wrong(PUT, {**ADA, "items": [{"key": bytes(4_097), "value": b""}]}, "items[0].key", "4097 bytes"),
    "no items": Wrong(PUT, {**ADA, "items": []}, "items", "give at least one"),
    "too many items": Wrong(
        PUT,
        {**ADA, "items": [{"key": b"%d" % n, "value": b""} for n in range(5_001)]},
        "items",
        "5000",
        413,
        "too_large",
    ),
    "one key twice": Wrong(PUT, {**ADA, "items": [ITEM, ITEM]}, "items[1].key", "give each key once"),
    "a large call": Wrong(
        PUT, {**ADA, "items": [{**ITEM, "value": bytes(4_194_305)}]}, "items", "4194304", 413, "too_large"
    ),
    "an empty token": Wrong(PUT, {**STORE, "idempotency_token": token(token="")}, "idempotency_token.token", "1 to 64"),
    "a long token": Wrong(
        PUT, {**STORE, "idempotency_token": token(token="x" * 65)}, "idempotency_token.token", "1 to 64"
    ),
    "a token with a NUL": Wrong(
        PUT, {**STORE, "idempotency_token": token(token="a\0b")}, "idempotency_token.token", "NUL"
    ),
    "an old token": Wrong(
        PUT, {**STORE, "idempotency_token": token()}, "idempotency_token.generation_time", "", 422, "token_drift"
    ),
    "a token of the future": Wrong(
        PUT,
        {**STORE, "idempotency_token": token(generation_time="2200-01-01T00:00:00Z")},
        "idempotency_token.generation_time",
        "",
        422,
        "token_drift",
    ),
    "no time": Wrong(
        PUT,
        {**STORE, "idempotency_token": token(generation_time="yesterday")},
        "idempotency_token.generation_time",
        "RFC 3339",
    ),
    "a time without a zone": Wrong(
        PUT,
        {**STORE, "idempotency_token": token(generation_time="2026-11-24T08:15:00")},
        "idempotency_token.generation_time",
        "RFC 3339",
    ),
    "a time to live of no unit": Wrong(PUT, {**ADA, "items": [{**ITEM, "ttl": "10"}]}, "items[0].ttl", "unit"),
    "a time to live that is a number": Wrong(PUT, {**ADA, "items": [{**ITEM, "ttl": 10}]}, "items[0].ttl", "250ms"),
    "a short time to live": Wrong(PUT, {**ADA, "items": [{**ITEM, "ttl": "1us"}]}, "items[0].ttl", "1ms to 3653d"),
    "a long time to live": Wrong(PUT, {**ADA, "items": [{**ITEM, "ttl": "4000d"}]}, "items[0].ttl", "1ms to 3653d"),
    "a limit of zero": Wrong(GET, {**ADA, "selection": {"item_limit": 0}}, "selection.item_limit", ">= 1"),
    "a negative limit": Wrong(GET, {**ADA, "selection": {"item_limit": -1}}, "selection.item_limit", ">= 1"),
    "a page of no bytes": Wrong(GET, {**ADA, "selection": {"page_size_bytes": 0}}, "selection.page_size_bytes", ">= 1"),
    "a negative size": Wrong(GET, {**ADA, "selection": {"max_value_bytes": -1}}, "selection.max_value_bytes", ">= 0"),
    "an integer over 64 bits": Wrong(
        GET, {**ADA, "selection": {"item_limit": 2**63}}, "selection.item_limit", "9223372036854775807"
    ),
    "a segment below the first": Wrong(SCAN, {"namespace": "people", "segment": -1}, "segment", ">= 0"),
    "a segment over the last": Wrong(
        SCAN, {"namespace": "people", "segment": 4, "total_segments": 4}, "segment", "no segment 4 of 4"
    ),
    "no segments": Wrong(SCAN, {"namespace": "people", "total_segments": 0}, "total_segments", ">= 1"),
    "too many segments": Wrong(SCAN, {"namespace": "people", "total_segments": 1_025}, "total_segments", "<= 1024"),
    "no ids": Wrong(BATCH, {"namespace": "people", "ids": []}, "ids", "at least one"),
    "an empty id among others": Wrong(BATCH, {"namespace": "people", "ids": ["ada", ""]}, "ids[1]", "empty"),
    "too many ids": Wrong(BATCH, {"namespace": "people", "ids": ["x"] * 1_001}, "ids", "1000", 413, "too_large"),
    "a reversed range": Wrong(
        COUNT, {**ADA, "predicate": {"match_range": {"start": b"b", "end": b"a"}}}, "predicate.match_range", ""
    ),
    "no predicate": Wrong(DELETE, {**ADA, "predicate": {}}, "predicate", "exactly one"),
    "two predicates": Wrong(
        GET, {**ADA, "predicate": {"match_all": {}, "match_keys": {"keys": [b"a"]}}}, "predicate", "exactly one"
    ),
    "a long key in a predicate": Wrong(
        GET,
        {**ADA, "predicate": {"match_keys": {"keys": [b"a", bytes(4_097)]}}},
        "predicate.match_keys.keys[1]",
        "4097",
    ),
    "no condition": Wrong(PUT, {**STORE, "condition": {}}, "condition", ""),
    "a condition that contradicts itself": Wrong(
        PUT, {**STORE, "condition": {"absent": True, "token": token()}}, "condition", ""
    ),
    "a page token that is none": Wrong(GET, {**ADA, "page_token": "abc"}, "page_token", "next_page_token"),
    "an empty page token": Wrong(GET, {**ADA, "page_token": ""}, "page_token", "next_page_token"),
    "a namespace of no abstraction": Wrong(
        NAMESPACE, {"namespace": {"name": "x", "abstraction": "kw"}}, "namespace.abstraction", "kv"
    ),
    "a namespace without a name": Wrong(
        NAMESPACE, {"namespace": {"name": "", "abstraction": "kv"}}, "namespace.name", "empty"
    ),
    "a name that is none": Wrong(
        NAMESPACE, {"namespace": {"name": "a b", "abstraction": "kv"}}, "namespace.name", "A-Z a-z 0-9"
    ),
    "an unknown knob": Wrong(
        NAMESPACE,
        {"namespace": {"name": "x", "abstraction": "kv", "config": {"drift_pats": "1m"}}},
        "namespace.config.drift_pats",
        "did you mean drift_past?",
    ),
    "an unknown engine": Wrong(
        NAMESPACE,
        {"namespace": {"name": "x", "abstraction": "kv", "engines": {"records": "defualt"}}},
        "namespace.engines.records",
        "default",
    ),
    "what nests too deep": Wrong(
        NAMESPACE, {"namespace": {"name": "x", "abstraction": "kv", "config": nested(60)}}, None, "flatten it"
    ),
}


def encoded(message: Any, wire: str) -> bytes:
    return (msgspec.json if wire == JSON else msgspec.msgpack).encode(message)


def decoded(answer: Answer) -> Any:
    return answer.msgpack() if answer.headers["content-type"] == MSGPACK else answer.json()


async def send(caller: Caller, path: str, message: Any, wire: str, **headers: Any) -> Any:
    """The decoded reply."""
    return decoded(await caller.ask(path, encoded(message, wire), content_type=wire, **headers))


@pytest.fixture(params=[JSON, MSGPACK], ids=["json", "msgpack"])
def wire(request: pytest.FixtureRequest) -> str:
    return request.param


class TestMessages:
    @pytest.mark.parametrize("name", WRONG)
    async def test_what_is_wrong_is_refused_with_its_field_and_what_to_do(
        self, caller: Caller, name: str, wire: str
    ) -> None:
        wrong = WRONG[name]
        answer = await caller.ask(wrong.path, encoded(wrong.message, wire), content_type=wire)
        problem = decoded(answer)
        assert (answer.status, problem["code"], problem.get("field")) == (wrong.status, wrong.code, wrong.field), (
            problem
        )
        assert problem["status"] == wrong.status
        assert problem.keys() >= MEMBERS
        assert problem["hint"]
        assert wrong.says in f"{problem['detail']} {problem['hint']}"
        assert answer.headers["content-type"] == ("application/problem+json" if wire == JSON else MSGPACK)
        assert b"Traceback" not in answer.body

    @pytest.mark.parametrize("value", [[], "x", 1, None, True, 1.5])
    async def test_a_body_that_is_no_object_is_refused(self, caller: Caller, value: Any, wire: str) -> None:
        problem = await send(caller, GET, value, wire)
        assert (problem["status"], problem["code"]) == (400, "invalid_argument")
        assert "expected `object`" in problem["detail"]
        assert "(byte 0)" in problem["detail"]
        assert problem["hint"]

    async def test_an_empty_body_is_refused(self, caller: Caller, wire: str) -> None:
        problem = decoded(await caller.ask(GET, b"", content_type=wire))
        assert (problem["status"], problem["detail"]) == (400, "the body is empty (byte 0)")

    async def test_a_body_that_is_cut_short_is_refused_with_its_end(self, caller: Caller, wire: str) -> None:
        body = encoded(ADA, wire)
        for end in range(1, len(body)):
            problem = decoded(await caller.ask(GET, body[:end], content_type=wire))
            assert (problem["status"], f"byte {end}" in problem["detail"]) == (400, True), problem

    async def test_bytes_after_the_message_are_refused_with_their_place(self, caller: Caller, wire: str) -> None:
        body = encoded(ADA, wire)
        problem = decoded(await caller.ask(GET, body + b"\x01", content_type=wire))
        assert (problem["status"], f"byte {len(body)}" in problem["detail"]) == (400, True), problem

    async def test_text_that_is_not_utf_8_is_refused_with_its_place(self, caller: Caller, wire: str) -> None:
        body = encoded({**ADA, "id": "aX"}, wire).replace(b"aX", b"a\xff")
        problem = decoded(await caller.ask(GET, body, content_type=wire))
        assert (problem["status"], problem["code"]) == (400, "invalid_argument")
        assert f"byte {body.index(255)}" in problem["detail"]

    async def test_what_nests_too_deep_is_refused_with_its_place(self, caller: Caller, wire: str) -> None:
        before = b'{"namespace":{"config":' if wire == JSON else b"\x81\xa9namespace\x81\xa6config"
        deep = before + (b'{"a":' if wire == JSON else b"\x81\xa1a") * 5_000
        problem = decoded(await caller.ask(NAMESPACE, deep, content_type=wire))
        assert (problem["status"], "byte" in problem["detail"]) == (400, True), problem

    async def test_a_lone_surrogate_is_no_text(self, caller: Caller) -> None:
        problem = decoded(await caller.ask(GET, b'{"namespace":"people","id":"\\ud800"}', content_type=JSON))
        assert (problem["status"], problem["code"]) == (400, "invalid_argument")


class TestJson:
    @pytest.mark.parametrize("text", ["QWRh=", "QWR", "QW_h", "QW h", "====", "é"])
    async def test_what_is_no_base64_is_refused(self, caller: Caller, text: str) -> None:
        problem = await send(caller, PUT, {**ADA, "items": [{"key": "", "value": text}]}, JSON)
        assert (problem["status"], problem["field"]) == (400, "items[0].value")
        assert problem["hint"] == "bytes are text in standard base64, with padding"

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "01", "0x1", ".5", "+1"])
    async def test_what_is_no_number_is_refused(self, caller: Caller, number: str) -> None:
        body = b'{"namespace":{"name":"x","abstraction":"kv","config":{"a":%b}}}' % number.encode()
        problem = decoded(await caller.ask(NAMESPACE, body, content_type=JSON))
        assert (problem["status"], problem["code"], bool(problem["hint"])) == (400, "invalid_argument", True)

    @pytest.mark.parametrize(
        ("body", "position"),
        [(b'{"a" 1}', 5), (b"{'a': 1}", 1), (b'{"a": 1,}', 8), (b'{"a": tru}', 6), (b"\xef\xbb\xbf{}", 0), (b"\0", 0)],
    )
    async def test_malformed_json_is_refused_with_its_place(self, caller: Caller, body: bytes, position: int) -> None:
        problem = decoded(await caller.ask("/v1/namespaces/list", body, content_type=JSON))
        assert (problem["status"], problem["code"]) == (400, "invalid_argument")
        assert f"byte {position}" in problem["detail"] or problem["field"] == "a"

    @pytest.mark.parametrize(
        "digits", ["9223372036854775808", "-9223372036854775809", "1" * 400, "1.0", "1e3", " 1", ""]
    )
    async def test_digits_that_are_no_64_bits_are_refused(self, caller: Caller, digits: str) -> None:
        problem = await send(caller, GET, {**ADA, "selection": {"item_limit": digits}}, JSON)
        assert (problem["status"], problem["field"], bool(problem["hint"])) == (400, "selection.item_limit", True)

    async def test_digits_in_a_text_are_an_integer(self, caller: Caller) -> None:
        await send(caller, PUT, {**ADA, "items": [ITEM, {"key": b"born", "value": b""}]}, JSON)
        reply = await send(caller, GET, {**ADA, "selection": {"item_limit": "1"}}, JSON)
        assert len(reply["items"]) == 1

    async def test_digits_where_an_integer_must_be_are_one_too(self, caller: Caller) -> None:
        reply = await send(caller, SCAN, {"namespace": "people", "segment": "0", "total_segments": "1"}, JSON)
        assert reply == {"records": []}

    async def test_of_one_name_twice_the_last_wins(self, caller: Caller) -> None:
        await send(caller, PUT, STORE, JSON)
        body = b'{"namespace":"people","id":"nobody","id":"ada"}'
        assert len(decoded(await caller.ask(GET, body, content_type=JSON))["items"]) == 1


class TestMessagePack:
    async def test_text_for_bytes_is_refused(self, caller: Caller) -> None:
        problem = await send(caller, PUT, {**ADA, "items": [{"key": "name", "value": b""}]}, MSGPACK)
        assert (problem["status"], problem["field"], problem["hint"]) == (
            400,
            "items[0].key",
            "bytes are of the type bin: in Python text.encode()",
        )

    async def test_bytes_for_text_are_refused(self, caller: Caller) -> None:
        problem = await send(caller, GET, {**ADA, "id": b"ada"}, MSGPACK)
        assert (problem["status"], problem["field"], problem["hint"]) == (400, "id", "text is of the type str")

    async def test_digits_are_no_integer(self, caller: Caller) -> None:
        problem = await send(caller, GET, {**ADA, "selection": {"item_limit": "1"}}, MSGPACK)
        assert (problem["status"], problem["field"], bool(problem["hint"])) == (400, "selection.item_limit", True)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    async def test_nan_and_infinities_are_refused(self, caller: Caller, value: float) -> None:
        spec = {"name": "x", "abstraction": "kv", "config": {"a": value}}
        problem = await send(caller, NAMESPACE, {"namespace": spec}, MSGPACK)
        assert problem["status"] == 400
        assert "finite number" in problem["hint"]

    async def test_an_integer_over_64_bits_inside_a_map_is_refused(self, caller: Caller) -> None:
        spec = {"name": "x", "abstraction": "kv", "config": {"a": 2**64 - 1}}
        problem = await send(caller, NAMESPACE, {"namespace": spec}, MSGPACK)
        assert (problem["status"], bool(problem["hint"])) == (400, True)

    async def test_an_extension_type_is_refused(self, caller: Caller) -> None:
        problem = await send(caller, GET, {**ADA, "id": msgspec.msgpack.Ext(5, b"x")}, MSGPACK)
        assert (problem["status"], problem["field"]) == (400, "id")

    @pytest.mark.parametrize(
        "body", [b"\xc1", b"\xff", b"\xdf\xff\xff\xff\xff", b"\x81\x01\x02", b"\xdb\xff\xff\xff\xff"]
    )
    async def test_rubbish_is_refused(self, caller: Caller, body: bytes) -> None:
        problem = decoded(await caller.ask(GET, body, content_type=MSGPACK))
        assert (problem["status"], problem["code"], bool(problem["hint"])) == (400, "invalid_argument", True)


class TestInstants:
    @pytest.mark.parametrize(
        "time",
        [
            1_700_000_000_123_456_789,
            "1700000000123456789",
            "2023-11-14T22:13:20.123456789Z",
            "2023-11-14T23:13:20.123456789+01:00",
        ],
    )
    async def test_both_forms_are_one_instant(self, open_stage: OpenStage, time: Any) -> None:
        environment = VirtualEnvironment(start_ns=1_700_000_000_000_000_000)
        caller = Caller(Application(await open_stage(environment), HttpConfig()))
        message = {**STORE, "idempotency_token": {"generation_time": time, "token": "t"}}
        as_json = await send(caller, PUT, message, JSON)
        as_msgpack = await send(caller, PUT, message, MSGPACK)
        assert as_json["idempotency_token"] == {"generation_time": "2023-11-14T22:13:20.123456Z", "token": "t"}
        assert as_msgpack["idempotency_token"] == {"generation_time": 1_700_000_000_123_456_000, "token": "t"}


class TestPageTokens:
    @pytest.fixture
    async def page_token(self, caller: Caller) -> str:
        """The token of the second page of Ada."""
        items = [{"key": b"%d" % number, "value": bytes(100)} for number in range(10)]
        await send(caller, PUT, {**ADA, "items": items}, JSON)
        reply = await send(caller, GET, {**ADA, "selection": {"page_size_bytes": 300}}, JSON)
        return reply["next_page_token"]

    async def test_its_own_request_goes_on(self, caller: Caller, page_token: str, wire: str) -> None:
        asked = {**ADA, "selection": {"page_size_bytes": 300}, "page_token": page_token}
        assert (await send(caller, GET, asked, wire))["items"]

    @pytest.mark.parametrize(
        "other",
        [
            {"id": "grace"},
            {"predicate": {"match_keys": {"keys": [b"1"]}}},
            {"selection": {"reverse": True, "page_size_bytes": 300}},
        ],
    )
    async def test_another_request_does_not(
        self, caller: Caller, page_token: str, other: dict[str, Any], wire: str
    ) -> None:
        problem = await send(
            caller, GET, {**ADA, "selection": {"page_size_bytes": 300}, **other, "page_token": page_token}, wire
        )
        assert (problem["status"], problem["code"], problem["field"]) == (400, "invalid_argument", "page_token")

    async def test_another_operation_does_not(self, caller: Caller, page_token: str, wire: str) -> None:
        problem = await send(caller, SCAN, {"namespace": "people", "page_token": page_token}, wire)
        assert (problem["status"], problem["field"]) == (400, "page_token")

    async def test_a_forged_one_does_not(self, caller: Caller, page_token: str, wire: str) -> None:
        for at in range(0, len(page_token), 5):
            forged = page_token[:at] + ("A" if page_token[at] != "A" else "B") + page_token[at + 1 :]
            asked = {**ADA, "selection": {"page_size_bytes": 300}, "page_token": forged}
            problem = await send(caller, GET, asked, wire)
            assert (problem["status"], problem["field"]) == (400, "page_token"), at

    async def test_one_of_another_stage_does_not(self, open_stage: OpenStage, page_token: str, wire: str) -> None:
        caller = Caller(Application(await open_stage(), HttpConfig()))
        asked = {**ADA, "selection": {"page_size_bytes": 300}, "page_token": page_token}
        problem = await send(caller, GET, asked, wire)
        assert (problem["status"], problem["field"]) == (400, "page_token")

    async def test_one_of_yesterday_does_not(self, open_stage: OpenStage, wire: str) -> None:
        environment = VirtualEnvironment()
        caller = Caller(Application(await open_stage(environment), HttpConfig()))
        items = [{"key": b"%d" % number, "value": bytes(100)} for number in range(10)]
        await send(caller, PUT, {**ADA, "items": items}, wire)
        asked = {**ADA, "selection": {"page_size_bytes": 300}}
        page_token = (await send(caller, GET, asked, wire))["next_page_token"]
        environment.advance(24 * 3_600 + 1)
        problem = await send(caller, GET, {**asked, "page_token": page_token}, wire)
        assert (problem["status"], problem["field"], "24 hours" in problem["detail"]) == (400, "page_token", True)


class TestBodies:
    async def test_a_huge_body_is_refused(self, caller: Caller, wire: str) -> None:
        answer = await caller.ask(PUT, bytes((8 << 20) + 1), content_type=wire)
        problem = decoded(answer)
        assert (answer.status, problem["code"], problem["hint"]) == (413, "too_large", "split the request")

    @pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
    async def test_a_body_that_is_huge_when_unpacked_is_refused(
        self, caller: Caller, wire: str, coding: str, pack: Callable[[bytes], bytes]
    ) -> None:
        bomb = pack(bytes(40 << 20))
        answer = await caller.ask(PUT, bomb, content_type=wire, content_encoding=coding)
        assert (answer.status, decoded(answer)["code"], len(bomb) < 1 << 20) == (413, "too_large", True)

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    async def test_a_damaged_coding_is_refused(self, caller: Caller, wire: str, coding: str) -> None:
        answer = await caller.ask(PUT, encoded(STORE, wire), content_type=wire, content_encoding=coding)
        problem = decoded(answer)
        assert (answer.status, problem["field"], bool(problem["hint"])) == (400, "Content-Encoding", True)

    async def test_an_unknown_coding_is_415_and_told_the_known_ones(self, caller: Caller, wire: str) -> None:
        answer = await caller.ask(PUT, encoded(STORE, wire), content_type=wire, content_encoding="br")
        problem = decoded(answer)
        assert (answer.status, problem["code"], problem["field"]) == (415, "invalid_argument", "Content-Encoding")
        assert answer.headers["accept-encoding"] == "gzip, zstd"

    @pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
    async def test_a_packed_body_is_as_good_as_a_plain_one(
        self, caller: Caller, wire: str, coding: str, pack: Callable[[bytes], bytes]
    ) -> None:
        answer = await caller.ask(PUT, pack(encoded(STORE, wire)), content_type=wire, content_encoding=coding)
        assert answer.status == 200

    @pytest.mark.parametrize("given", ["text/plain", "application/xml", "application/x-www-form-urlencoded", ""])
    async def test_an_unknown_type_is_415(self, caller: Caller, given: str) -> None:
        answer = await caller.ask(PUT, encoded(STORE, JSON), content_type=given)
        problem = answer.json()
        assert (answer.status, problem["code"], problem["field"]) == (415, "invalid_argument", "Content-Type")
        assert problem["hint"] == "send application/json or application/msgpack"

    async def test_no_type_at_all_is_415(self, caller: Caller) -> None:
        answer = await caller.ask(PUT, encoded(STORE, JSON))
        assert (answer.status, answer.json()["field"]) == (415, "Content-Type")


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "hint"),
        [
            ("/v1/kv/get-items", "did you mean /v1/kv/get_items?"),
            ("/v1/kvs/get_items", "did you mean /v1/kv/get_items?"),
            ("/kv/get_items", "did you mean /v1/kv/get_items?"),
            ("/v1/kv/get_items/", "did you mean /v1/kv/get_items?"),
            ("/heath/live", "did you mean /health/live?"),
            ("/elsewhere", "see /docs for what there is"),
            ("/v1", "see /docs for what there is"),
        ],
    )
    async def test_an_unknown_path_is_404_with_the_nearest(
        self, caller: Caller, wire: str, path: str, hint: str
    ) -> None:
        answer = await caller.ask(path, encoded(ADA, wire), content_type=wire)
        problem = decoded(answer)
        assert (answer.status, problem["code"], problem["hint"]) == (404, "not_found", hint)

    async def test_a_long_path_is_told_shortly(self, caller: Caller) -> None:
        answer = await caller.ask("/" + "x" * 20_000)
        assert (answer.status, len(answer.body) < 600) == (404, True)

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
    async def test_another_method_for_an_operation_is_405(self, caller: Caller, wire: str, method: str) -> None:
        answer = await caller.ask(GET, encoded(ADA, wire), method=method, content_type=wire)
        problem = decoded(answer)
        assert (answer.status, answer.headers["allow"], problem["code"]) == (405, "POST", "invalid_argument")
        assert (problem["status"], problem["hint"]) == (405, "use POST")

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
    @pytest.mark.parametrize("path", ["/", "/health/live", "/metrics", "/openapi.json", "/console/kv/get_items"])
    async def test_another_method_for_a_page_is_405(self, caller: Caller, path: str, method: str) -> None:
        answer = await caller.ask(path, b"", method=method)
        assert (answer.status, answer.headers["allow"], answer.json()["status"]) == (405, "GET, HEAD", 405)


class TestFormatOfProblems:
    async def test_accept_decides(self, caller: Caller) -> None:
        answer = await caller.ask(GET, b"{}", content_type=JSON, accept=MSGPACK)
        assert (answer.headers["content-type"], answer.msgpack()["code"]) == (MSGPACK, "invalid_argument")

    async def test_without_a_type_it_is_json(self, caller: Caller) -> None:
        assert (await caller.ask("/nothing")).headers["content-type"] == "application/problem+json"

    async def test_an_accept_of_something_else_is_json_too(self, caller: Caller) -> None:
        answer = await caller.ask("/nothing", accept="text/html,application/xhtml+xml;q=0.9")
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_a_large_problem_is_packed_like_any_reply(self, caller: Caller) -> None:
        known = {**ADA, "x" * 80: 1}
        answer = await caller.ask(GET, encoded(known, JSON), content_type=JSON, accept_encoding="gzip")
        assert answer.status == 400
        assert answer.headers.get("content-encoding") in (None, "gzip")


class TestIdempotencyKeys:
    """Kept for a day, for one caller and one operation."""

    DISTURB = "/v1/notes/disturb"

    @pytest.fixture
    def environment(self) -> VirtualEnvironment:
        return VirtualEnvironment()

    @pytest.fixture
    async def virtual(self, open_stage: OpenStage, environment: VirtualEnvironment) -> Caller:
        return Caller(Application(await open_stage(environment), HttpConfig()))

    async def disturb(self, caller: Caller, wire: str, how: str = "not at all", **headers: str) -> Any:
        return await send(caller, self.DISTURB, {"how": how}, wire, idempotency_key="k", **headers)

    async def test_the_same_call_has_the_same_answer_for_a_day(
        self, virtual: Caller, environment: VirtualEnvironment, wire: str
    ) -> None:
        assert await self.disturb(virtual, wire) == {"count": 1}
        environment.advance(24 * 3_600 - 1)
        assert await self.disturb(virtual, wire) == {"count": 1}
        environment.advance(2)
        assert await self.disturb(virtual, wire) == {"count": 2}

    async def test_in_either_format(self, virtual: Caller) -> None:
        assert await self.disturb(virtual, JSON) == await self.disturb(virtual, MSGPACK) == {"count": 1}

    async def test_another_body_is_token_reused(self, virtual: Caller, wire: str) -> None:
        await self.disturb(virtual, wire)
        problem = await self.disturb(virtual, wire, how="otherwise")
        assert (problem["status"], problem["code"], problem["field"]) == (422, "token_reused", "Idempotency-Key")
        assert problem["hint"]

    async def test_a_key_in_use_is_in_progress_and_told_when_to_ask_again(
        self, caller: Caller, notes: NotesService, wire: str
    ) -> None:
        first = asyncio.create_task(self.disturb(caller, wire, how="wait"))
        await notes.entered.wait()
        answer = await caller.ask(self.DISTURB, encoded({"how": "wait"}, wire), content_type=wire, idempotency_key="k")
        notes.gate.set()
        assert await first == {"count": 1}
        problem = decoded(answer)
        assert (answer.status, problem["code"], problem["retryable"]) == (409, "in_progress", True)
        assert (answer.headers["retry-after"], problem["retry_after_ms"]) == ("1", 1_000)

    async def test_a_call_that_failed_may_be_sent_again(self, virtual: Caller, wire: str) -> None:
        first = await self.disturb(virtual, wire, how="unavailable")
        second = await self.disturb(virtual, wire, how="unavailable")
        third = await self.disturb(virtual, wire, how="unavailable")
        assert (first["code"], second["code"], third) == ("unavailable", "unavailable", {"count": 3})

    async def test_another_operation_has_keys_of_its_own(self, virtual: Caller, wire: str) -> None:
        await self.disturb(virtual, wire)
        note = {"namespace": "home", "name": "milk", "text": "two"}
        assert await send(virtual, "/v1/notes/write", note, wire, idempotency_key="k") == {"written": 3}

    @pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
    async def test_a_key_that_cannot_be_kept_is_refused(self, caller: Caller, wire: str, key: str) -> None:
        problem = await send(caller, self.DISTURB, {"how": "x"}, wire, idempotency_key=key)
        assert (problem["status"], problem["field"], bool(problem["hint"])) == (400, "Idempotency-Key", True)

    async def test_an_operation_that_answers_with_a_secret_takes_none(self, caller: Caller, wire: str) -> None:
        problem = await send(caller, "/v1/tokens/create", {"name": "a", "roles": ["read"]}, wire, idempotency_key="k")
        assert (problem["status"], problem["field"], problem["hint"]) == (400, "Idempotency-Key", "leave it out")


class TestDeadlines:
    @pytest.mark.parametrize("text", ["250ms", "10s", "15m", "36h", "16d", "1.5s", "500us", "100ns"])
    async def test_every_form_of_duration_is_one(self, caller: Caller, wire: str, text: str) -> None:
        answer = await caller.ask(GET, encoded(ADA, wire), content_type=wire, soundstage_timeout=text)
        assert answer.status in (200, 504)

    @pytest.mark.parametrize("text", ["", "250", "ms", "-1s", "0s", "1 s", "1y", "1e3s", "NaNs", "9" * 40 + "d", "1s2"])
    async def test_every_other_is_refused(self, caller: Caller, wire: str, text: str) -> None:
        problem = await send(caller, GET, ADA, wire, soundstage_timeout=text)
        assert (problem["status"], problem["field"], bool(problem["hint"])) == (400, "Soundstage-Timeout", True)

    async def test_past_it_the_caller_is_told_what_became_of_the_call(self, caller: Caller, wire: str) -> None:
        problem = await send(caller, "/v1/notes/disturb", {"how": "wait"}, wire, soundstage_timeout="100ms")
        assert (problem["status"], problem["code"], problem["outcome"]) == (504, "deadline", "unknown")
        assert (problem["retryable"], bool(problem["hint"])) == (False, True)

    async def test_one_that_passes_before_the_call_begins_applies_nothing(self, stage: Stage, wire: str) -> None:
        caller = Caller(Application(stage, HttpConfig()))
        problem = await send(caller, PUT, STORE, wire, soundstage_timeout="1ns")
        assert (problem["status"], problem["code"], problem["outcome"]) == (504, "deadline", "not_applied")
