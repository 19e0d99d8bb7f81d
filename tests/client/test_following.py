"""Feeds followed over HTTP, and taken up again where they broke off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx2
import msgspec
import pytest
from tests.client.conftest import Meet
from tests.client.stand_in import broken, feed, problem

from soundstage.client import Connection, Settings, SyncConnection, Unreachable, connect, connect_sync
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    SoundstageError,
    TooLarge,
    Unavailable,
)
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.policy import RetryPolicy
from soundstage.data.kv import KeyValue
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.namespaces.api import Namespaces, SyncNamespaces
from soundstage.runtime.stage import Stage
from soundstage.surface.http.server import Server

NAMESPACE = {
    "name": "n",
    "abstraction": "kv",
    "engines": {},
    "config": {},
    "slos": {},
    "quotas": {},
    "version": 1,
    "generation": 1,
    "managed_by": "api",
    "created_at": 0,
    "updated_at": 0,
}


def position(cursor: int) -> bytes:
    return msgspec.json.encode({"cursor": str(cursor)}) + b"\n"


def event(cursor: int, **more: Any) -> bytes:
    change = {
        "version": 1,
        "generation": 1,
        "at": 0,
        "by": "me",
        "action": "created",
        "changed": [],
        "namespace": NAMESPACE,
    }
    return msgspec.json.encode({"cursor": str(cursor), "change": change, **more}) + b"\n"


def last_word(error: SoundstageError) -> bytes:
    return msgspec.json.encode({"problem": error.problem("r")}) + b"\n"


async def cursors(connection: Connection, cursor: str | None = None) -> list[str]:
    """Those of all messages, to the end of the feed."""
    return [event.cursor async for event in connection.client(Namespaces).watch(cursor=cursor)]


async def until_failure(connection: Connection) -> tuple[list[str], SoundstageError]:
    seen = list[str]()
    try:
        async for each in connection.client(Namespaces).watch():
            seen.append(each.cursor)
    except SoundstageError as error:
        return seen, error
    raise AssertionError


async def test_messages_are_read_and_positions_passed_over(meet: Meet) -> None:
    connection, far = meet(feed(position(0), event(1), b"\n", position(5), event(6)))
    assert await cursors(connection) == ["1", "6"]
    assert far.headers("accept") == ["application/x-ndjson"]
    assert far.headers("content-type") == ["application/json"]


async def test_what_was_told_is_seen_by_the_clock_of_the_client(meet: Meet, environment: VirtualEnvironment) -> None:
    ahead_us = environment.now_us() + 1_000_000
    token = {"generation_time": ahead_us * 1_000, "token": "t"}
    change = msgspec.json.encode({"cursor": "1", "id": "ada", "idempotency_token": token}) + b"\n"
    connection, _ = meet(feed(change))
    assert [each.id async for each in connection.client(KeyValue, "n").watch_items()] == ["ada"]
    assert connection.clock.last_us == ahead_us


async def test_lines_may_come_in_any_parts(meet: Meet) -> None:
    whole = position(0) + event(1) + event(2)
    connection, _ = meet(feed(*(whole[at : at + 7] for at in range(0, len(whole), 7))))
    assert await cursors(connection) == ["1", "2"]


async def test_a_feed_that_breaks_goes_on_after_the_last_message(meet: Meet) -> None:
    connection, far = meet(feed(position(0), event(1), end=httpx2.ReadError("reset")), feed(event(2)))
    assert await cursors(connection) == ["1", "2"]
    assert msgspec.json.decode(far.requests[1].read())["cursor"] == "1"


async def test_one_that_breaks_before_a_message_goes_on_from_where_it_began(meet: Meet) -> None:
    connection, far = meet(feed(position(7), end=httpx2.ReadError("reset")), feed(event(8)))
    assert await cursors(connection) == ["8"]
    assert msgspec.json.decode(far.requests[1].read())["cursor"] == "7"


async def test_half_a_message_is_none(meet: Meet) -> None:
    connection, _ = meet(feed(event(1), event(2)[:-9]), feed(event(2)))
    assert await cursors(connection) == ["1", "2"]


async def test_a_stage_that_stops_is_asked_again(meet: Meet) -> None:
    connection, _ = meet(feed(event(1), last_word(Unavailable("stopping", retry_after_ms=5_000))), feed(event(2)))
    began = connection.environment.monotonic_ns()
    assert await cursors(connection) == ["1", "2"]
    assert connection.environment.monotonic_ns() - began >= 5_000_000_000


async def test_an_error_that_waiting_does_not_mend_ends_the_feed(meet: Meet) -> None:
    connection, far = meet(feed(event(1), last_word(InvalidArgument("forgotten", field="cursor"))))
    seen, error = await until_failure(connection)
    assert (seen, type(error), error.field, len(far.requests)) == (["1"], InvalidArgument, "cursor", 1)


async def test_a_refusal_is_raised_as_it_is(meet: Meet) -> None:
    connection, _ = meet(problem(InvalidArgument("no", field="cursor")))
    with pytest.raises(InvalidArgument, match="no"):
        await cursors(connection)


async def test_it_is_not_asked_for_ever(meet: Meet) -> None:
    connection, far = meet(broken(httpx2.ConnectError("refused")), settings=Settings(retry=RetryPolicy(retries=2)))
    with pytest.raises(Unreachable):
        await cursors(connection)
    assert len(far.requests) == 3


async def test_every_message_makes_it_patient_again(meet: Meet) -> None:
    broken_feeds = [feed(event(number), end=httpx2.ReadError("reset")) for number in range(1, 9)]
    connection, _ = meet(*broken_feeds, feed(event(9)), settings=Settings(retry=RetryPolicy(retries=1)))
    assert await cursors(connection) == [str(number) for number in range(1, 10)]


async def test_silence_is_a_connection_lost(meet: Meet) -> None:
    connection, far = meet(feed(event(1), end=httpx2.ReadTimeout("silent")), feed(event(2)))
    assert await cursors(connection) == ["1", "2"]
    assert far.requests[0].extensions["timeout"]["read"] == 45.0


async def test_a_message_of_another_shape_is_told(meet: Meet) -> None:
    connection, _ = meet(feed(b'{"cursor":"1","change":5}\n'))
    with pytest.raises(Internal, match="namespaces/watch"):
        await cursors(connection)


async def test_what_newer_stages_add_is_passed_over(meet: Meet) -> None:
    connection, _ = meet(feed(event(1, newer=True)))
    assert await cursors(connection) == ["1"]


async def test_a_line_without_an_end_is_bounded(meet: Meet) -> None:
    connection, _ = meet(feed(b"x" * 1_000, b"y" * 1_000), settings=Settings(max_reply_bytes=1_500))
    with pytest.raises(TooLarge):
        await cursors(connection)


async def test_a_deadline_is_sent_and_holds_over_all_tries(meet: Meet) -> None:
    connection, far = meet(feed(end=httpx2.ReadError("reset")), settings=Settings(retry=RetryPolicy(retries=50)))
    with pytest.raises((DeadlineExceeded, Unreachable)):
        async for _ in connection.client(Namespaces).with_options(deadline=2.0).watch():
            pass
    assert far.headers("soundstage-timeout")[0] == "2000ms"


async def test_without_a_deadline_none_is_sent(meet: Meet) -> None:
    connection, far = meet(feed(event(1)))
    await cursors(connection)
    assert far.headers("soundstage-timeout") == [None]


async def test_a_closed_client_follows_nothing(meet: Meet) -> None:
    connection, _ = meet(feed(event(1)))
    await connection.close()
    with pytest.raises(Unavailable, match="closed"):
        await cursors(connection)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage.open(data="memory:") as stage:
        yield stage


async def make(stage: Stage, name: str) -> None:
    await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv"))


@pytest.mark.slow
async def test_a_server_that_is_replaced_is_followed_on(stage: Stage) -> None:
    server = Server(stage, HttpConfig(port=0))
    url = await server.start()
    port = int(url.rpartition(":")[2])
    settings = Settings(retry=RetryPolicy(retries=1_000, base_s=0.01, cap_s=0.05))
    async with (
        connect(url, settings=settings) as connection,
        aclosing(connection.client(Namespaces).watch()) as events,
    ):
        first = asyncio.ensure_future(anext(events))
        while b"soundstage_followers 1.0" not in stage.metrics_text():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        await make(stage, "one")
        assert (await first).change.namespace.name == "one"
        await server.stop()
        await make(stage, "two")
        again = Server(stage, HttpConfig(port=port))
        await again.start()
        assert (await anext(events)).change.namespace.name == "two"
        await again.stop()


async def test_without_an_event_loop_a_feed_is_iterated(stage: Stage) -> None:
    server = Server(stage, HttpConfig(port=0))
    url = await server.start()
    await make(stage, "one")
    await make(stage, "two")

    def follow() -> list[str]:
        found = list[str]()
        connection: SyncConnection
        with connect_sync(url) as connection:
            for each in connection.client(SyncNamespaces).watch(cursor="0"):
                found.append(each.change.namespace.name)
                if len(found) == 2:
                    return found
        raise AssertionError

    assert await asyncio.to_thread(follow) == ["one", "two"]
    await server.stop()
