"""What is sent, how often, and until when."""

from __future__ import annotations

import httpx2
import pytest
from opentelemetry import trace
from tests.client.conftest import Meet
from tests.client.stand_in import (
    Answer,
    FarEnd,
    broken,
    items_reply,
    problem,
    put_reply,
    reply,
    silent,
    token,
    trickling,
)

from soundstage.client import Connection, Settings, Unreachable, connect
from soundstage.core.codec import MSGPACK, decoder
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    InvalidArgument,
    NotFound,
    SoundstageError,
    TooLarge,
    Unavailable,
)
from soundstage.core.namespace import NamespaceInfo, NamespaceSpec, Quotas
from soundstage.core.policy import RetryPolicy
from soundstage.core.time import Instant
from soundstage.data.kv.api import GetItems, KeyValue, PutItem, PutItems
from soundstage.runtime.namespaces.api import DeleteNamespaceReply, Namespaces

DELETED = reply(DeleteNamespaceReply(name="x", version=3))
CREATED = NamespaceInfo(
    name="x",
    abstraction="kv",
    engines={},
    config={},
    slos={},
    quotas=Quotas(),
    version=1,
    generation=1,
    managed_by="api",
    created_at=Instant(0),
    updated_at=Instant(0),
)
DOWN = problem(Unavailable("the disk is gone", outcome="unknown"))


def kv(connection: Connection) -> KeyValue:
    return connection.client(KeyValue, "profiles")


async def put(connection: Connection) -> None:
    await kv(connection).put_items(id="1", items=[PutItem(key=b"k", value=b"v")])


async def test_the_request_goes_to_the_operations_path(meet: Meet) -> None:
    connection, far = meet(items_reply())
    await kv(connection).get_items(id="1")
    assert [str(request.url) for request in far.requests] == ["http://stage.test/v1/kv/get_items"]
    assert [request.method for request in far.requests] == ["POST"]


async def test_a_path_in_the_address_comes_before(environment: VirtualEnvironment) -> None:
    far = FarEnd(items_reply())
    async with connect("http://stage.test/behind/", environment=environment, transport=far) as connection:
        await kv(connection).get_items(id="1")
    assert [str(request.url) for request in far.requests] == ["http://stage.test/behind/v1/kv/get_items"]


async def test_the_message_carries_the_clients_namespace(meet: Meet) -> None:
    connection, far = meet(items_reply())
    await kv(connection).get_items(id="1")
    assert far.bodies(GetItems) == [GetItems(namespace="profiles", id="1")]


async def test_the_token_given_is_sent_as_bearer(environment: VirtualEnvironment) -> None:
    far = FarEnd(items_reply())
    settings = Settings(token="of the settings")
    async with connect("http://s", token="sst_a_b", settings=settings, environment=environment, transport=far) as made:
        await kv(made).get_items(id="1")
    assert far.headers("authorization") == ["Bearer sst_a_b"]


async def test_without_a_token_no_authorization_is_sent(meet: Meet) -> None:
    connection, far = meet(items_reply())
    await kv(connection).get_items(id="1")
    assert far.headers("authorization") == [None]


async def test_a_token_that_no_header_carries_is_refused_at_once() -> None:
    with pytest.raises(InvalidArgument):
        connect("http://stage.test", token="a\r\nx-evil: 1")


async def test_options_travel_as_headers(meet: Meet) -> None:
    connection, far = meet(items_reply())
    client = kv(connection).with_options(deadline=2.0, idempotency_key="once", request_id="mine")
    await client.get_items(id="1")
    assert far.headers("soundstage-timeout") == ["2000ms"]
    assert far.headers("idempotency-key") == ["once"]
    assert far.headers("x-request-id") == ["mine"]


async def test_the_default_deadline_is_that_of_the_settings(meet: Meet) -> None:
    connection, far = meet(items_reply(), settings=Settings(timeout=7.0))
    await kv(connection).get_items(id="1")
    assert far.headers("soundstage-timeout") == ["7000ms"]


async def test_the_span_of_the_caller_travels_with_the_call(meet: Meet) -> None:
    connection, far = meet(items_reply())
    context = trace.SpanContext(0xA, 0xB, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        await kv(connection).get_items(id="1")
    await kv(connection).get_items(id="1")
    assert far.headers("traceparent") == [f"00-{0xA:032x}-{0xB:016x}-01", None]


@pytest.mark.parametrize("option", ["idempotency_key", "request_id"])
async def test_an_option_that_no_header_carries_is_refused(meet: Meet, option: str) -> None:
    connection, far = meet(items_reply())
    with pytest.raises(InvalidArgument) as refused:
        await kv(connection).with_options(**{option: "a\nb"}).get_items(id="1")  # type: ignore[arg-type]
    assert refused.value.field == option
    assert far.requests == []


async def test_a_write_carries_a_token_made_here(meet: Meet) -> None:
    connection, far = meet(put_reply())
    await put(connection)
    sent = far.bodies(PutItems)[0].idempotency_token
    assert sent.generation_time == connection.environment.now_us() * 1_000


async def test_a_write_is_retried_with_the_same_token(meet: Meet) -> None:
    connection, far = meet(DOWN, DOWN, put_reply())
    await put(connection)
    assert len({body.idempotency_token.token for body in far.bodies(PutItems)}) == 1
    assert len(far.requests) == 3


async def test_a_write_keeps_the_token_of_its_caller(meet: Meet) -> None:
    connection, far = meet(DOWN, put_reply())
    await kv(connection).put_items(id="1", items=[], idempotency_token=token("mine"))
    assert [body.idempotency_token.token for body in far.bodies(PutItems)] == ["mine", "mine"]


async def test_tries_of_one_call_share_its_request_id(meet: Meet) -> None:
    connection, far = meet(DOWN, items_reply())
    await kv(connection).get_items(id="1")
    assert len(set(far.headers("x-request-id"))) == 1


async def test_two_calls_have_two_request_ids(meet: Meet) -> None:
    connection, far = meet(items_reply())
    await kv(connection).get_items(id="1")
    await kv(connection).get_items(id="1")
    assert len(set(far.headers("x-request-id"))) == 2


@pytest.mark.parametrize(
    "error", [NotFound("no"), InvalidArgument("no"), TooLarge("no"), Unavailable("no", retryable=False)]
)
async def test_what_no_retry_mends_is_raised_at_once(meet: Meet, error: SoundstageError) -> None:
    connection, far = meet(problem(error))
    with pytest.raises(type(error)):
        await put(connection)
    assert len(far.requests) == 1


async def test_retries_end_with_the_last_error(meet: Meet) -> None:
    connection, far = meet(DOWN, problem(Unavailable("still")), settings=Settings(retry=RetryPolicy(retries=2)))
    with pytest.raises(Unavailable, match="still"):
        await put(connection)
    assert len(far.requests) == 3


async def test_retries_of_a_client_go_before_those_of_the_settings(meet: Meet) -> None:
    connection, far = meet(DOWN)
    with pytest.raises(Unavailable):
        await kv(connection).with_options(retries=0).get_items(id="1")
    assert len(far.requests) == 1


async def test_the_wait_is_at_least_what_the_server_asks_for(meet: Meet, environment: VirtualEnvironment) -> None:
    connection, far = meet(problem(Exhausted("full", retry_after_ms=1_500)), items_reply())
    began_ns = environment.monotonic_ns()
    await kv(connection).get_items(id="1")
    assert environment.monotonic_ns() - began_ns >= 1_500_000_000
    assert len(far.requests) == 2


async def test_a_retry_tells_the_server_how_little_time_is_left(meet: Meet) -> None:
    connection, far = meet(problem(Exhausted("full", retry_after_ms=1_500)), items_reply())
    await kv(connection).with_options(deadline=4.0).get_items(id="1")
    first, second = (int(str(value).removesuffix("ms")) for value in far.headers("soundstage-timeout"))
    assert first == 4_000
    assert second <= 2_500


async def test_no_retry_begins_that_could_not_end_in_time(meet: Meet) -> None:
    connection, far = meet(problem(Exhausted("full", retry_after_ms=5_000)), items_reply())
    with pytest.raises(Exhausted):
        await kv(connection).with_options(deadline=4.0).get_items(id="1")
    assert len(far.requests) == 1


async def test_retries_of_many_failing_calls_are_bounded_by_a_budget(meet: Meet) -> None:
    connection, far = meet(DOWN)
    for _ in range(100):
        with pytest.raises(Unavailable):
            await kv(connection).get_items(id="1")
    # A reserve of ten and a tenth of the calls, instead of three for each.
    assert 100 < len(far.requests) <= 122


@pytest.mark.parametrize(
    "answer", [DOWN, broken(httpx2.ReadError("reset")), problem(Unavailable("down", retryable=True))]
)
async def test_what_is_not_repeatable_is_not_sent_twice(meet: Meet, answer: Answer) -> None:
    connection, far = meet(answer, DELETED)
    with pytest.raises(Unavailable):
        await connection.client(Namespaces).delete(name="x")
    assert len(far.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        broken(httpx2.ConnectError("refused")),
        problem(Exhausted("full")),
        problem(Unavailable("draining", outcome="not_applied", retryable=True)),
    ],
)
async def test_what_did_nothing_is_sent_again_even_if_not_repeatable(meet: Meet, answer: Answer) -> None:
    connection, far = meet(answer, DELETED)
    assert (await connection.client(Namespaces).delete(name="x")).version == 3
    assert len(far.requests) == 2


async def test_an_idempotency_key_makes_any_call_repeatable(meet: Meet) -> None:
    connection, far = meet(DOWN, DELETED)
    await connection.client(Namespaces).with_options(idempotency_key="once").delete(name="x")
    assert far.headers("idempotency-key") == ["once", "once"]


async def test_what_only_creates_is_repeated_under_one_key(meet: Meet) -> None:
    connection, far = meet(DOWN, reply(CREATED))
    namespace = NamespaceSpec(name="x", abstraction="kv")
    assert (await connection.client(Namespaces).put(namespace=namespace, expected_version=0)).version == 1
    first, second = far.headers("idempotency-key")
    assert first is not None
    assert second == first


async def test_what_creates_or_changes_is_repeated_without_a_key(meet: Meet) -> None:
    connection, far = meet(DOWN, reply(CREATED))
    await connection.client(Namespaces).put(namespace=NamespaceSpec(name="x", abstraction="kv"), expected_version=1)
    assert far.headers("idempotency-key") == [None, None]


async def test_the_key_of_the_caller_is_kept(meet: Meet) -> None:
    connection, far = meet(reply(CREATED))
    creating = connection.client(Namespaces).with_options(idempotency_key="mine")
    await creating.put(namespace=NamespaceSpec(name="x", abstraction="kv"), expected_version=0)
    assert far.headers("idempotency-key") == ["mine"]


@pytest.mark.parametrize("answer", [silent(), trickling()])
async def test_a_call_ends_by_its_deadline(meet: Meet, answer: Answer) -> None:
    connection, _ = meet(answer)
    with pytest.raises(DeadlineExceeded) as raised:
        await kv(connection).with_options(deadline=0.001, retries=0).get_items(id="1")
    assert raised.value.outcome == "unknown"
    assert raised.value.retryable


async def test_a_late_call_that_is_not_repeatable_says_so(meet: Meet) -> None:
    connection, _ = meet(silent())
    with pytest.raises(DeadlineExceeded) as raised:
        await connection.client(Namespaces).with_options(deadline=0.001).delete(name="x")
    assert not raised.value.retryable


@pytest.mark.parametrize("deadline", [0.0, -1.0])
async def test_nothing_is_sent_after_the_deadline(meet: Meet, deadline: float) -> None:
    connection, far = meet(items_reply())
    with pytest.raises(DeadlineExceeded) as raised:
        await kv(connection).with_options(deadline=deadline).get_items(id="1")
    assert raised.value.outcome == "not_applied"
    assert far.requests == []


async def test_pages_follow_the_token_to_the_end(meet: Meet) -> None:
    connection, far = meet(
        items_reply(b"a", next_page_token="more"), items_reply(next_page_token="on"), items_reply(b"b")
    )
    keys = [item.key async for page in kv(connection).get_items.pages(id="1") for item in page.items]
    assert keys == [b"a", b"b"]
    assert [body.page_token for body in far.bodies(GetItems)] == [None, "more", "on"]


async def test_a_write_after_a_read_is_later_than_what_was_read(meet: Meet, environment: VirtualEnvironment) -> None:
    ahead_us = environment.now_us() + 1_000_000
    connection, far = meet(items_reply(b"a", time_us=ahead_us), put_reply())
    await kv(connection).get_items(id="1")
    await put(connection)
    written = decoder(PutItems, MSGPACK).decode(far.requests[1].read()).idempotency_token
    assert written is not None
    assert written.generation_time.us == ahead_us + 1


async def test_a_time_far_in_the_future_is_not_believed(meet: Meet, environment: VirtualEnvironment) -> None:
    connection, far = meet(put_reply(time_us=environment.now_us() + 60_000_000), put_reply())
    await put(connection)
    await put(connection)
    assert far.bodies(PutItems)[1].idempotency_token.generation_time.us < environment.now_us() + 10


async def test_closing_closes_the_sockets_and_may_be_repeated(meet: Meet) -> None:
    connection, far = meet(items_reply())
    await connection.close()
    await connection.close()
    assert far.closed


async def test_a_closed_client_takes_no_call(meet: Meet) -> None:
    connection, far = meet(items_reply())
    await connection.close()
    with pytest.raises(Unavailable, match="closed"):
        await kv(connection).get_items(id="1")
    assert far.requests == []


async def test_leaving_the_block_closes(environment: VirtualEnvironment) -> None:
    far = FarEnd(items_reply())
    async with connect("http://stage.test", environment=environment, transport=far):
        pass
    assert far.closed


async def test_connecting_sends_nothing(meet: Meet) -> None:
    _, far = meet(items_reply())
    assert far.requests == []


async def test_nobody_listening_is_unreachable_by_name() -> None:
    async with connect("http://127.0.0.1:1", settings=Settings(retry=RetryPolicy(retries=0))) as connection:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1") as raised:
            await kv(connection).get_items(id="1")
    assert raised.value.outcome == "not_applied"
