"""What the key-value store refuses, as a caller over HTTP is told: status, code, field and what to do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.data.kv.conftest import Clock, item, make
from tests.surface.http.asgi_client import Caller

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import ERRORS
from soundstage.data.kv.api import Condition, KeyValue, Selection
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.http.app import Application

MIB = 1 << 20


K = b"k"
ITEM = {"key": K, "value": b"v"}
GET = {"namespace": "people", "id": "ada"}
PUT = {**GET, "items": [ITEM]}
DELETE = {**GET, "predicate": {"match_all": {}}}
SCAN = {"namespace": "people"}
BATCH = {"namespace": "people", "ids": ["ada"]}
NOW = 1_700_000_000_000_000_000
TOKEN = {"generation_time": NOW, "token": "t"}


def selected(**selection: Any) -> dict[str, Any]:
    return {**GET, "selection": selection}


def matched(**predicate: Any) -> dict[str, Any]:
    return {**GET, "predicate": predicate}


def named(**token: Any) -> dict[str, Any]:
    return {**PUT, "idempotency_token": {**TOKEN, **token}}


def items(*items: dict[str, Any]) -> dict[str, Any]:
    return {**GET, "items": [{**ITEM, **each} for each in items]}


def conditioned(condition: Any) -> dict[str, Any]:
    return {**PUT, "condition": condition}


REFUSALS: dict[str, tuple[str, dict[str, Any], str, str, str]] = {
    "no such namespace": (
        "get_items",
        {**GET, "namespace": "peopel"},
        "not_found",
        "namespace",
        "'people'",
    ),
    "a namespace like no other": ("put_items", {**PUT, "namespace": "x"}, "not_found", "namespace", "namespaces/put"),
    "no namespace": ("get_items", {"id": "ada"}, "invalid_argument", "namespace", "name the namespace"),
    "an empty id": ("get_items", {**GET, "id": ""}, "invalid_argument", "id", "1 to 1024 bytes"),
    "a long id": ("put_items", {**PUT, "id": "x" * 1_025}, "invalid_argument", "id", "1 to 1024 bytes"),
    "a long id of few characters": ("delete_items", {**DELETE, "id": "é" * 513}, "invalid_argument", "id", "1024"),
    "no id": ("count_items", SCAN, "invalid_argument", "id", ""),
    "an id that is a number": ("get_items", {**GET, "id": 7}, "invalid_argument", "id", ""),
    "a long key": ("put_items", items({"key": b"x" * 4_097}), "invalid_argument", "items[0].key", "4096"),
    "a key twice": ("put_items", items({}, {}), "invalid_argument", "items[1].key", "each key once"),
    "no items": ("put_items", {**GET, "items": []}, "invalid_argument", "items", "at least one"),
    "items left out": ("put_items", GET, "invalid_argument", "items", ""),
    "too many items": (
        "put_items",
        items(*({"key": b"%d" % n} for n in range(5_001))),
        "too_large",
        "items",
        "several calls",
    ),
    "a call too large": (
        "put_items",
        items(*({"key": b"%d" % n, "value": b"x" * MIB} for n in range(5))),
        "too_large",
        "items",
        "several calls",
    ),
    "a ttl of no time": ("put_items", items({"ttl": "0s"}), "invalid_argument", "items[0].ttl", "1ms to 3653d"),
    "a ttl of eleven years": ("put_items", items({"ttl": "4015d"}), "invalid_argument", "items[0].ttl", "3653d"),
    "a ttl that is none": ("put_items", items({"ttl": "soon"}), "invalid_argument", "items[0].ttl", ""),
    "an old token": (
        "put_items",
        named(generation_time=NOW - 601 * 10**9),
        "token_drift",
        "idempotency_token.generation_time",
        "drift_past",
    ),
    "a token to come": (
        "put_items",
        named(generation_time=NOW + 3 * 10**9),
        "token_drift",
        "idempotency_token.generation_time",
        "drift_future",
    ),
    "a token without text": ("put_items", named(token=""), "invalid_argument", "idempotency_token.token", "1 to 64"),
    "a token of 65 bytes": ("put_items", named(token="x" * 65), "invalid_argument", "idempotency_token.token", "64"),
    "a token with a NUL": ("put_items", named(token="a\0"), "invalid_argument", "idempotency_token.token", "UUID"),
    "a token beyond int64": (
        "put_items",
        named(generation_time=2**63),
        "invalid_argument",
        "idempotency_token.generation_time",
        "",
    ),
    "half a token": (
        "put_items",
        {**PUT, "idempotency_token": {"token": "t"}},
        "invalid_argument",
        "idempotency_token.generation_time",
        "",
    ),
    "two predicates": (
        "get_items",
        matched(match_all={}, match_keys={"keys": []}),
        "invalid_argument",
        "predicate",
        "exactly one",
    ),
    "an empty predicate": ("get_items", matched(), "invalid_argument", "predicate", "exactly one"),
    "a delete of nothing": ("delete_items", GET, "invalid_argument", "predicate", ""),
    "a delete by an empty predicate": ("delete_items", matched(), "invalid_argument", "predicate", "exactly one"),
    "a delete of no keys": (
        "delete_items",
        matched(match_keys={"keys": []}),
        "invalid_argument",
        "predicate.match_keys.keys",
        "at least one",
    ),
    "a reversed range": (
        "get_items",
        matched(match_range={"start": b"b", "end": b"a"}),
        "invalid_argument",
        "predicate.match_range",
        "selection.reverse",
    ),
    "a reversed range to delete": (
        "delete_items",
        matched(match_range={"start": b"b", "end": b"a"}),
        "invalid_argument",
        "predicate.match_range",
        "swap start and end",
    ),
    "a key twice to read": (
        "get_items",
        matched(match_keys={"keys": [K, K]}),
        "invalid_argument",
        "predicate.match_keys.keys[1]",
        "each key once",
    ),
    "a long key to read": (
        "get_items",
        matched(match_keys={"keys": [b"x" * 4_097]}),
        "invalid_argument",
        "predicate.match_keys.keys[0]",
        "4096",
    ),
    "too many keys to read": (
        "get_items",
        matched(match_keys={"keys": [b"%d" % n for n in range(5_001)]}),
        "too_large",
        "predicate.match_keys.keys",
        "several calls",
    ),
    "a page of 0": (
        "get_items",
        selected(page_size_bytes=0),
        "invalid_argument",
        "selection.page_size_bytes",
        "",
    ),
    "a page of less": (
        "scan_items",
        {**SCAN, "selection": {"page_size_bytes": -1}},
        "invalid_argument",
        "selection.page_size_bytes",
        "",
    ),
    "a limit of no items": ("get_items", selected(item_limit=0), "invalid_argument", "selection.item_limit", ""),
    "a limit below none": (
        "batch_get_items",
        {**BATCH, "selection": {"item_limit": -1}},
        "invalid_argument",
        "selection.item_limit",
        "",
    ),
    "values below 0": (
        "get_items",
        selected(max_value_bytes=-1),
        "invalid_argument",
        "selection.max_value_bytes",
        "",
    ),
    "a limit beyond int64": ("get_items", selected(item_limit=2**63), "invalid_argument", "selection.item_limit", ""),
    "no such field": (
        "get_items",
        selected(page_size=5),
        "invalid_argument",
        "selection.page_size",
        "page_size",
    ),
    "a scan downwards": (
        "scan_items",
        {**SCAN, "selection": {"reverse": True}},
        "invalid_argument",
        "selection.reverse",
        "sort what you receive",
    ),
    "a segment too many": (
        "scan_items",
        {**SCAN, "segment": 4, "total_segments": 4},
        "invalid_argument",
        "segment",
        "counted from 0",
    ),
    "no segments": ("scan_items", {**SCAN, "total_segments": 0}, "invalid_argument", "total_segments", ""),
    "too many segments": ("scan_items", {**SCAN, "total_segments": 1_025}, "invalid_argument", "total_segments", ""),
    "no ids": ("batch_get_items", {**BATCH, "ids": []}, "invalid_argument", "ids", "at least one"),
    "too many ids": ("batch_get_items", {**BATCH, "ids": ["a"] * 1_001}, "too_large", "ids", "batch_ids_max"),
    "an empty id among others": ("batch_get_items", {**BATCH, "ids": ["a", ""]}, "invalid_argument", "ids[1]", "1024"),
    "a page token that is none": ("get_items", {**GET, "page_token": "abc"}, "invalid_argument", "page_token", "as it"),
    "a page token made up": ("scan_items", {**SCAN, "page_token": "A" * 90}, "invalid_argument", "page_token", ""),
    "no condition in a list": ("put_items", conditioned([]), "invalid_argument", "condition", "leave it out"),
    "a condition that says nothing": ("put_items", conditioned({}), "invalid_argument", "condition", "exactly one"),
    "a condition that says two things": (
        "delete_items",
        {**DELETE, "condition": [{"absent": True, "token": TOKEN}]},
        "invalid_argument",
        "condition[0]",
        "exactly one",
    ),
    "a condition of a long key": (
        "put_items",
        conditioned({"key": b"x" * 4_097, "absent": True}),
        "invalid_argument",
        "condition.key",
        "4096",
    ),
    "too many conditions": (
        "put_items",
        conditioned([{"absent": True}] * 1_001),
        "too_large",
        "condition",
        "whole record",
    ),
    "a condition where none are taken": (
        "put_items",
        {**conditioned({"absent": True}), "namespace": "plain"},
        "invalid_argument",
        "condition",
        "conditional_writes",
    ),
    "a condition that fails": (
        "put_items",
        {**conditioned({"absent": True}), "id": "taken"},
        "precondition_failed",
        "condition",
        "read it again",
    ),
    "a version not reached": (
        "get_items",
        {**GET, "min_version": TOKEN},
        "unavailable",
        "min_version",
        "repeat the read",
    ),
    "a version under no token": (
        "get_items",
        {**GET, "min_version": {**TOKEN, "token": ""}},
        "invalid_argument",
        "min_version.token",
        "1 to 64",
    ),
}


@pytest.fixture
async def people(plain_stage: Stage) -> KeyValue:
    """The namespaces `people`, where the record `taken` is, and `plain`, which takes no conditions."""
    await make(plain_stage, "plain", conditional_writes=False)
    kv = await make(plain_stage, "people")
    await kv.put_items(id="taken", items=[item(b"k")])
    return kv


@pytest.fixture
def caller(plain_stage: Stage, people: KeyValue) -> Caller:
    return Caller(Application(plain_stage, HttpConfig()))


async def ask(caller: Caller, operation: str, request: dict[str, Any], wire: str) -> Any:
    """Status and problem of the answer."""
    body = msgspec.json.encode(request) if wire == "json" else msgspec.msgpack.encode(request)
    answer = await caller.ask(f"/v1/kv/{operation}", body, content_type=f"application/{wire}")
    return answer.status, answer.json() if wire == "json" else answer.msgpack()


@pytest.mark.parametrize("wire", ["json", "msgpack"])
@pytest.mark.parametrize("case", REFUSALS)
async def test_what_is_wrong_is_told_with_its_place_and_what_to_do(caller: Caller, case: str, wire: str) -> None:
    operation, request, code, field, hint = REFUSALS[case]
    status, problem = await ask(caller, operation, request, wire)
    assert (problem["code"], problem["field"], status) == (code, field, ERRORS[code].status)
    assert problem["detail"]
    assert hint in problem["hint"]
    assert problem["retryable"] is (code == "unavailable")


async def test_a_key_that_is_no_base64_is_refused(caller: Caller) -> None:
    answer = await caller.post("/v1/kv/put_items", {**GET, "items": [{"key": "a b", "value": ""}]})
    assert (answer.status, answer.json()["field"]) == (400, "items[0].key")


@pytest.mark.parametrize("wire", ["json", "msgpack"])
async def test_a_page_token_of_another_request_is_refused(caller: Caller, people: KeyValue, wire: str) -> None:
    await people.put_items(id="ada", items=[item(b"a"), item(b"b")])
    page = await people.get_items(id="ada", selection=Selection(page_size_bytes=1))
    status, problem = await ask(caller, "get_items", {**GET, "id": "bob", "page_token": page.next_page_token}, wire)
    assert (status, problem["field"]) == (400, "page_token")
    assert "nothing changed but page_token" in problem["hint"]


async def test_a_page_token_is_refused_after_a_day(
    caller: Caller, people: KeyValue, environment: VirtualEnvironment
) -> None:
    await people.put_items(id="ada", items=[item(b"a"), item(b"b")])
    page = await people.get_items(id="ada", selection=Selection(page_size_bytes=1))
    environment.advance(86_401)
    request = {**selected(page_size_bytes=1), "page_token": page.next_page_token}
    status, problem = await ask(caller, "get_items", request, "json")
    assert (status, problem["hint"]) == (400, "start again without page_token")


async def test_a_token_that_named_another_request_is_refused(caller: Caller, people: KeyValue, clock: Clock) -> None:
    token = clock.token()
    await people.put_items(id="ada", items=[item(b"k")], idempotency_token=token, condition=Condition(absent=True))
    request = {
        **conditioned({"absent": True}),
        "idempotency_token": {"generation_time": int(token.generation_time), "token": token.token},
    }
    status, problem = await ask(caller, "put_items", request, "json")
    assert (status, problem["code"], problem["retryable"]) == (422, "token_reused", False)


async def test_nothing_of_a_refused_put_is_stored(caller: Caller, people: KeyValue) -> None:
    for operation, request, *_ in REFUSALS.values():
        if operation == "put_items":
            await ask(caller, operation, request, "msgpack")
    assert [record.id for record in (await people.scan_items()).records] == ["taken"]
