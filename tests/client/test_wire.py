"""What arrives: replies, problems, and what neither a reply nor a problem is."""

from __future__ import annotations

import msgspec
import pytest
from tests.client.conftest import Meet
from tests.client.stand_in import body, items_reply, problem, put_reply, token

from soundstage.client import Settings, Unreachable
from soundstage.client.wire import header_value
from soundstage.core.codec import JSON, MSGPACK
from soundstage.core.errors import (
    ERRORS,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    SoundstageError,
    TooLarge,
    Unavailable,
)
from soundstage.core.policy import RetryPolicy
from soundstage.data.kv.api import KeyValue

ONCE = Settings(retry=RetryPolicy(retries=0))


async def test_a_reply_becomes_its_message(meet: Meet) -> None:
    connection, _ = meet(items_reply(b"a", b"b"))
    reply = await connection.client(KeyValue, "x").get_items(id="1")
    assert [item.key for item in reply.items] == [b"a", b"b"]


async def test_json_is_spoken_where_asked_for(meet: Meet) -> None:
    answer = b'{"idempotency_token": {"generation_time": "2023-11-14T22:13:20Z", "token": "t"}, "more": 1}'
    connection, far = meet(body(answer, media_type=f"{JSON}; charset=utf-8"), settings=Settings(format="json"))
    reply = await connection.client(KeyValue, "x").put_items(id="1", items=[])
    assert reply.idempotency_token == token()
    assert far.headers("content-type") == far.headers("accept") == [JSON]


async def test_fields_of_a_newer_server_are_skipped(meet: Meet) -> None:
    newer = {"items": [], "from_the_future": [1, 2], "next_page_token": None}
    connection, _ = meet(body(msgspec.msgpack.encode(newer)))
    assert (await connection.client(KeyValue, "x").get_items(id="1")).items == []


@pytest.mark.parametrize("code", sorted(ERRORS))
@pytest.mark.parametrize("media_type", ["application/problem+json", MSGPACK, JSON])
async def test_a_problem_is_raised_as_its_class(meet: Meet, code: str, media_type: str) -> None:
    sent = ERRORS[code]("it is wrong", field="items[0].key", hint="mend it", retryable=False, retry_after_ms=7)
    connection, _ = meet(problem(sent, media_type))
    with pytest.raises(ERRORS[code]) as raised:
        await connection.client(KeyValue, "x").get_items(id="1")
    assert raised.value.problem() == sent.problem("the-request")


async def test_an_error_of_a_newer_server_is_internal(meet: Meet) -> None:
    newer = {"type": "urn:soundstage:error:gone_fishing", "code": "gone_fishing", "detail": "back at five"}
    connection, _ = meet(body(msgspec.json.encode(newer), 418, "application/problem+json"))
    with pytest.raises(Internal, match="back at five"):
        await connection.client(KeyValue, "x").get_items(id="1")


@pytest.mark.parametrize(
    ("content", "status", "media_type"),
    [
        (b"<h1>It works!</h1>", 200, "text/html"),
        (b"<h1>Not Found</h1>", 404, "text/html"),
        (b'{"detail": "Not Found"}', 404, JSON),
        (b'{"detail": "Not Fo', 404, "application/problem+json"),
        (b"[1]", 400, JSON),
        (b"\xc1", 400, MSGPACK),
        (b"", 204, ""),
        (b"{}", 200, JSON),
    ],
)
async def test_an_answer_that_no_stage_gives_says_so(meet: Meet, content: bytes, status: int, media_type: str) -> None:
    connection, far = meet(body(content, status, media_type))
    with pytest.raises(Unreachable, match=f"no stage: status {status}") as raised:
        await connection.client(KeyValue, "x").get_items(id="1")
    assert raised.value.outcome == "not_applied"
    assert len(far.requests) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_gateway_without_its_stage_is_asked_again(meet: Meet, status: int) -> None:
    connection, far = meet(body(b"<h1>Bad gateway</h1>", status, "text/html"), items_reply(b"a"))
    assert (await connection.client(KeyValue, "x").get_items(id="1")).items
    assert len(far.requests) == 2


async def test_what_a_gateway_lost_may_have_been_applied(meet: Meet) -> None:
    connection, _ = meet(body(b"", 504, "text/plain"), settings=ONCE)
    with pytest.raises(Unreachable) as raised:
        await connection.client(KeyValue, "x").put_items(id="1", items=[])
    assert raised.value.outcome == "unknown"


async def test_a_reply_of_another_shape_is_internal(meet: Meet) -> None:
    connection, _ = meet(body(msgspec.msgpack.encode({"items": 5})))
    with pytest.raises(Internal, match="kv/get_items cannot be read") as raised:
        await connection.client(KeyValue, "x").get_items(id="1")
    assert "release" in (raised.value.hint or "")


async def test_a_reply_at_the_limit_is_taken(meet: Meet) -> None:
    answer = msgspec.msgpack.encode({"items": [], "padding": "x" * 50})
    connection, _ = meet(body(answer), settings=Settings(max_reply_bytes=len(answer)))
    assert (await connection.client(KeyValue, "x").get_items(id="1")).items == []


async def test_a_reply_over_the_limit_is_too_large(meet: Meet) -> None:
    answer = msgspec.msgpack.encode({"items": [], "padding": "x" * 50})
    connection, far = meet(body(answer), settings=Settings(max_reply_bytes=len(answer) - 1))
    with pytest.raises(TooLarge, match="the reply is over"):
        await connection.client(KeyValue, "x").get_items(id="1")
    assert len(far.requests) == 1


async def test_an_oversized_problem_is_too_large_as_well(meet: Meet) -> None:
    connection, _ = meet(problem(Unavailable("x" * 100)), settings=Settings(max_reply_bytes=50))
    with pytest.raises(TooLarge):
        await connection.client(KeyValue, "x").get_items(id="1")


async def test_every_error_of_a_problem_is_one_of_the_tree(meet: Meet) -> None:
    connection, _ = meet(problem(DeadlineExceeded("late", outcome="unknown")), put_reply())
    with pytest.raises(SoundstageError) as raised:
        await connection.client(KeyValue, "x").put_items(id="1", items=[])
    assert raised.value.outcome == "unknown"
    assert raised.value.request_id == "the-request"


@pytest.mark.parametrize("text", ["", "a\nb", "a\r\nx: y", "schlüssel", "\x7f"])
def test_what_no_header_carries_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        header_value("token", text)
    assert refused.value.field == "token"


def test_a_printable_header_is_sent_as_it_is() -> None:
    assert header_value("token", "sst_a b~") == b"sst_a b~"
