"""Uploads and downloads over HTTP, in process and over real sockets, by the example of the store's values."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from tests.surface.http.asgi_client import Answer, Caller
from tests.surface.http.conftest import OpenStage, Serve
from tests.surface.http.wire import Wire, request, until
from xxhash import xxh3_128_hexdigest

from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import Duration
from soundstage.data.kv import KeyValue
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens.api import Tokens
from soundstage.surface.http.app import Application

PLACE = "/v1/kv/value/people/ada/portrait"
HELLO = b"hello world"
TOKEN = "idempotency_token=%7B%22generation_time%22%3A{}%2C%22token%22%3A%22t%22%7D"


async def put(caller: Caller, content: bytes = HELLO, path: str = PLACE, **headers: Any) -> Answer:
    return await caller.ask(path, content, method="PUT", **headers)


async def count(stage: Stage) -> int:
    return (await stage.client(KeyValue, "people").count_items(id="ada")).count


class TestSending:
    async def test_a_value_is_put_and_its_tag_told(self, caller: Caller) -> None:
        answer = await put(caller)
        told = answer.json()
        assert (answer.status, told["size"], told["checksum"]) == (200, 11, xxh3_128_hexdigest(HELLO))
        token = told["idempotency_token"]["token"]
        assert answer.headers["etag"].endswith(f'.{told["checksum"][:16]}.{token}"')
        assert (await caller.ask(PLACE)).headers["etag"] == answer.headers["etag"]

    async def test_the_answer_has_the_format_that_is_asked_for(self, caller: Caller) -> None:
        answer = await put(caller, accept="application/msgpack", content_type="application/json")
        assert answer.msgpack()["size"] == 11

    async def test_each_part_of_the_address_is_percent_encoded(self, caller: Caller, stage: Stage) -> None:
        assert (await put(caller, path="/v1/kv/value/people/a%2Fd%C3%A0/%FF%2F%00")).status == 200
        async with stage.client(KeyValue, "people").get_value(id="a/dà", key=b"\xff/\x00") as value:
            assert await value.read() == HELLO

    async def test_a_key_may_be_empty(self, caller: Caller) -> None:
        assert (await put(caller, path="/v1/kv/value/people/ada/")).status == 200
        assert (await caller.ask("/v1/kv/value/people/ada/")).body == HELLO

    async def test_it_comes_in_parts(self, caller: Caller) -> None:
        await caller.ask(PLACE, parts=[b"hello", b"", b" world"], method="PUT")
        assert (await caller.ask(PLACE)).body == HELLO

    async def test_the_query_has_the_other_fields(self, caller: Caller, stage: Stage) -> None:
        now_ns = stage.environment.now_ns() // 1_000 * 1_000
        answer = await put(caller, path=f"{PLACE}?ttl=1h&{TOKEN.format(now_ns)}")
        assert (answer.status, answer.json()["idempotency_token"]["token"]) == (200, "t")
        async with stage.client(KeyValue, "people").get_value(id="ada", key=b"portrait") as value:
            assert value.info.expires_at == now_ns + 3_600 * 10**9

    async def test_a_repetition_is_answered_alike_and_something_else_refused(
        self, caller: Caller, stage: Stage
    ) -> None:
        path = f"{PLACE}?{TOKEN.format(stage.environment.now_ns())}"
        first = await put(caller, path=path)
        assert (await put(caller, path=path)).json() == first.json()
        answer = await put(caller, b"other", path=path)
        assert (answer.status, answer.json()["code"]) == (422, "token_reused")

    async def test_a_key_makes_it_one_write_whatever_came_later(self, caller: Caller) -> None:
        first = await put(caller, idempotency_key="once")
        await put(caller, b"later")
        again = await put(caller, idempotency_key="once")
        assert (again.status, again.json(), again.headers["etag"]) == (200, first.json(), first.headers["etag"])
        assert (await caller.ask(PLACE)).body == b"later"

    async def test_other_bytes_under_a_key_are_refused(self, caller: Caller) -> None:
        await put(caller, idempotency_key="once")
        answer = await put(caller, b"other", idempotency_key="once")
        assert (answer.status, answer.json()["code"], answer.json()["field"]) == (
            422,
            "token_reused",
            "Idempotency-Key",
        )
        assert (await caller.ask(PLACE)).body == HELLO

    async def test_it_is_put_only_where_nothing_is(self, caller: Caller) -> None:
        assert (await put(caller, if_none_match="*")).status == 200
        answer = await put(caller, b"other", if_none_match="*")
        assert (answer.status, answer.json()["code"]) == (412, "precondition_failed")

    async def test_it_is_put_only_over_what_was_read(self, caller: Caller) -> None:
        tag = (await put(caller)).headers["etag"]
        assert (await put(caller, b"second", if_match=tag)).status == 200
        assert (await put(caller, b"third", if_match=tag)).status == 412
        assert (await caller.ask(PLACE)).body == b"second"

    @pytest.mark.parametrize("header", ["if_match", "if_none_match"])
    async def test_a_tag_that_is_none_is_told(self, caller: Caller, header: str) -> None:
        tags: dict[str, Any] = {header: '"x"'}
        answer = await put(caller, **tags)
        assert (answer.status, answer.json()["field"].replace("-", "_").lower()) == (400, header)

    @pytest.mark.parametrize(
        ("path", "status", "field"),
        [
            (f"{PLACE}/more", 404, None),
            ("/v1/kv/value/people/ada", 404, None),
            ("/v1/kv/value/nobody/ada/k", 404, "namespace"),
            ("/v1/kv/value/people//k", 400, "id"),
            ("/v1/kv/value/people/%FF/k", 400, "id"),
            (f"{PLACE}?tll=1h", 400, "tll"),
            (f"{PLACE}?ttl=long", 400, "ttl"),
            (f"{PLACE}?condition=nonsense", 400, "condition"),
        ],
    )
    async def test_what_is_wrong_is_told(self, caller: Caller, path: str, status: int, field: str | None) -> None:
        answer = await put(caller, path=path)
        assert (answer.status, answer.json().get("field")) == (status, field)

    async def test_a_coding_is_refused(self, caller: Caller) -> None:
        answer = await put(caller, content_encoding="gzip")
        assert (answer.status, answer.json()["field"]) == (415, "Content-Encoding")

    async def test_who_hangs_up_leaves_nothing(self, caller: Caller, stage: Stage) -> None:
        answer = await caller.ask(PLACE, parts=[bytes(3 << 20)], method="PUT", hangs_up=True)
        assert answer.status == 0
        assert await count(stage) == 0

    async def test_a_deadline_holds(self, stage: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(stage)) as wire:
            await wire.send(request(PLACE, b"hello", "PUT", ["Soundstage-Timeout: 20ms"], length=11))
            answer = await wire.response()
        assert (answer.status, answer.json()["code"]) == (504, "deadline")
        assert await count(stage) == 0

    async def test_more_than_the_namespace_takes_is_refused_before_it_comes(self, stage: Stage, serve: Serve) -> None:
        await stage.client(Namespaces).put(
            namespace=NamespaceSpec(name="small", abstraction="kv", config={"value_max": "1KiB"})
        )
        async with await Wire.open(await serve(stage)) as wire:
            await wire.send(request("/v1/kv/value/small/a/k", b"", "PUT", length=1_025))
            answer = await wire.response()
        assert (answer.status, answer.json()["code"], answer.headers["connection"]) == (413, "too_large", "close")


class TestReading:
    @pytest.fixture(autouse=True)
    async def sent(self, caller: Caller) -> Answer:
        return await put(caller)

    async def test_the_whole_comes_with_what_is_known_of_it(self, caller: Caller, sent: Answer) -> None:
        answer = await caller.ask(PLACE)
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, HELLO, "11")
        assert answer.headers["etag"] == sent.headers["etag"]
        assert answer.headers["accept-ranges"] == "bytes"
        assert f'"checksum":"{xxh3_128_hexdigest(HELLO)}"' in answer.headers["soundstage-info"]

    async def test_a_browser_does_not_take_it_for_a_page(self, caller: Caller) -> None:
        headers = (await caller.ask(PLACE)).headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"] == "attachment"
        assert headers["content-security-policy"] == "sandbox"
        assert headers["x-content-type-options"] == "nosniff"

    async def test_head_tells_the_same_without_the_bytes(self, stage: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(stage)) as wire:
            head = await wire.ask(PLACE, method="HEAD")
            got = await wire.ask(PLACE, method="GET")
        same = {name: value for name, value in got.headers.items() if name not in ("date", "x-request-id")}
        assert same.items() <= head.headers.items()

    @pytest.mark.parametrize(
        ("asked", "content", "told"),
        [
            ("bytes=0-4", b"hello", "bytes 0-4/11"),
            ("bytes=6-", b"world", "bytes 6-10/11"),
            ("bytes=-5", b"world", "bytes 6-10/11"),
            ("bytes=6-500", b"world", "bytes 6-10/11"),
        ],
    )
    async def test_a_range_comes_alone(self, caller: Caller, asked: str, content: bytes, told: str) -> None:
        answer = await caller.ask(PLACE, range=asked)
        assert (answer.status, answer.body, answer.headers["content-range"]) == (206, content, told)

    async def test_a_range_that_is_not_there_is_told(self, caller: Caller) -> None:
        answer = await caller.ask(PLACE, range="bytes=11-")
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */11")

    async def test_a_range_of_another_value_is_let_be(self, caller: Caller, sent: Answer) -> None:
        assert (await caller.ask(PLACE, range="bytes=0-1", if_range='"other"')).status == 200
        assert (await caller.ask(PLACE, range="bytes=0-1", if_range=sent.headers["etag"])).status == 206

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_what_is_known_is_not_sent(self, caller: Caller, sent: Answer, method: str) -> None:
        answer = await caller.ask(PLACE, method=method, if_none_match=sent.headers["etag"])
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", sent.headers["etag"])

    async def test_what_is_another_by_now_is_not_read_on(self, caller: Caller, sent: Answer) -> None:
        assert (await caller.ask(PLACE, if_match=sent.headers["etag"])).status == 200
        await put(caller, b"other")
        assert (await caller.ask(PLACE, if_match=sent.headers["etag"])).status == 412

    async def test_what_is_not_there_is_told(self, caller: Caller) -> None:
        answer = await caller.ask(f"{PLACE}x")
        assert (answer.status, answer.json()["field"]) == (404, "key")

    async def test_no_bytes_match_a_weak_tag(self, caller: Caller) -> None:
        tag = (await put(caller)).headers["etag"]
        assert (await put(caller, if_match=f"W/{tag}")).status == 412
        assert (await caller.ask(PLACE, if_match=f"W/{tag}")).status == 412
        assert (await caller.ask(PLACE, range="bytes=0-1", if_range=f"W/{tag}")).status == 200
        assert (await caller.ask(PLACE, if_none_match=f"W/{tag}")).status == 304

    @pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
    async def test_other_methods_are_refused(self, caller: Caller, method: str) -> None:
        answer = await caller.ask(PLACE, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "PUT, GET, HEAD")

    async def test_a_value_without_bytes_comes_whole(self, caller: Caller) -> None:
        await put(caller, b"")
        got = await caller.ask(PLACE)
        assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "0")


class TestWho:
    async def test_a_stage_with_tokens_wants_one(self, open_stage: OpenStage) -> None:
        stage = await open_stage(auth={"mode": "tokens"})
        caller = Caller(Application(stage, HttpConfig()))
        answer = await put(caller)
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert (await caller.ask(PLACE)).status == 401
        reader = await stage.client(Tokens).create(name="reader", roles=["read"])
        writer = await stage.client(Tokens).create(name="writer", roles=["write"])
        assert (await put(caller, authorization=f"Bearer {reader.bearer}")).status == 403
        assert (await put(caller, authorization=f"Bearer {writer.bearer}")).status == 200
        assert (await caller.ask(PLACE, authorization=f"Bearer {reader.bearer}")).body == HELLO

    async def test_pages_of_other_sites_get_none(self, caller: Caller) -> None:
        for method in ("PUT", "GET"):
            answer = await caller.ask(PLACE, method=method, host="evil.example", origin="https://evil.example")
            assert answer.status == 403

    async def test_a_stage_that_stops_takes_none(self, caller: Caller) -> None:
        caller.application.close("the server is stopping")
        assert (await put(caller)).status == 503

    async def test_no_more_come_at_once_than_the_stage_takes(self, open_stage: OpenStage, serve: Serve) -> None:
        stage = await open_stage(admission={"streams": 1})
        url = await serve(stage)
        async with await Wire.open(url) as first, await Wire.open(url) as second:
            await first.send(request(PLACE, b"hello", "PUT", length=11))
            await until(lambda: stage._parts.streams.count)
            answer = await second.ask(PLACE, method="GET")
            assert (answer.status, answer.json()["code"]) == (429, "exhausted")
            await first.send(b" world")
            assert (await first.response()).status == 200
            assert (await second.ask(PLACE, method="GET")).body == HELLO

    async def test_who_is_refused_is_counted(self, caller: Caller, stage: Stage) -> None:
        await put(caller, path=f"{PLACE}?tll=1h")
        assert stage.operation("kv", "put_value").stats.failures == {"invalid_argument": 1}


class TestSockets:
    async def test_much_goes_through_both_ways(self, stage: Stage, serve: Serve) -> None:
        content = os.urandom(5 << 20)
        async with await Wire.open(await serve(stage, max_body=1_024, max_buffered=1 << 20)) as wire:
            await wire.send(request(PLACE, content, "PUT"))
            assert (await wire.response()).status == 200
            assert (await wire.ask(PLACE, method="GET")).body == content

    async def test_chunks_are_taken(self, stage: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(stage)) as wire:
            await wire.send(request(PLACE, method="PUT", headers=["Transfer-Encoding: chunked"]))
            await wire.send(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            assert (await wire.response()).json()["size"] == 11

    async def test_a_sender_cut_off_in_the_middle_leaves_nothing_to_see(self, stage: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(stage)) as wire:
            await wire.send(request(PLACE, bytes(3 << 20), "PUT", length=4 << 20))
            await until(lambda: stage._parts.streams.count)
        await until(lambda: not stage._parts.streams.count)
        assert await count(stage) == 0

    async def test_a_body_that_does_not_come_on_is_given_up(self, stage: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(stage, body_timeout=Duration.parse("30ms"))) as wire:
            await wire.send(request(PLACE, b"hello", "PUT", length=12))
            assert (await wire.response()).status == 408
        assert await count(stage) == 0

    async def test_what_is_refused_is_not_read_to_its_end(self, stage: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(stage)) as wire:
            await wire.send(request(f"{PLACE}?tll=1", bytes(1_000), "PUT", length=1 << 30))
            answer = await wire.response()
            assert (answer.status, answer.headers["connection"]) == (400, "close")

    async def test_a_condition_that_fails_already_is_answered_before_the_body_is_sent(
        self, stage: Stage, serve: Serve
    ) -> None:
        await stage.client(KeyValue, "people").put_value(HELLO, id="ada", key=b"portrait")
        headers = ["If-None-Match: *", "Expect: 100-continue"]
        async with await Wire.open(await serve(stage)) as wire:
            await wire.send(request(PLACE, b"", "PUT", headers=headers, length=1 << 30))
            answer = await wire.response()
            assert (answer.status, answer.headers["connection"]) == (412, "close")

    async def test_a_reply_that_cannot_be_begun_holds_nothing(self, caller: Caller, stage: Stage) -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        async def send(message: dict[str, Any]) -> None:
            raise ConnectionError

        await put(caller)
        scope = {"type": "http", "method": "GET", "path": PLACE, "query_string": b"", "headers": []}
        with pytest.raises(ConnectionError):
            await caller.application(scope, receive, send)
        assert stage._parts.streams.count == 0

    async def test_a_reader_that_takes_nothing_is_left(self, stage: Stage, serve: Serve) -> None:
        await stage.client(KeyValue, "people").put_value(bytes(32 << 20), id="ada", key=b"portrait")
        async with await Wire.open(await serve(stage, body_timeout=Duration.parse("30ms"))) as wire:
            wire.pause()
            await wire.send(request(PLACE, method="GET"))
            await until(lambda: stage._parts.streams.count)
            await until(lambda: not stage._parts.streams.count)

    async def test_a_reader_that_leaves_stops_the_reading(self, stage: Stage, serve: Serve) -> None:
        await stage.client(KeyValue, "people").put_value(bytes(32 << 20), id="ada", key=b"portrait")
        async with await Wire.open(await serve(stage)) as wire:
            wire.pause()
            await wire.send(request(PLACE, method="GET"))
            await until(lambda: stage._parts.streams.count)
        await until(lambda: not [each for each in asyncio.all_tasks() if "Exchange.run" in repr(each)])
        assert stage._parts.streams.count == 0
