"""The synchronous face, against a server on a loopback socket, from threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.client.loopback import Loopback

from soundstage.client import Settings, SyncConnection, Unreachable, connect_sync
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.message import IdempotencyToken
from soundstage.core.policy import RetryPolicy
from soundstage.data.kv.api import PutItem, SyncKeyValue


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server


@pytest.fixture
def connection(loopback: Loopback) -> Iterator[SyncConnection]:
    with connect_sync(loopback.url) as connection:
        yield connection


def test_a_call_returns_its_reply(connection: SyncConnection) -> None:
    reply = connection.client(SyncKeyValue, "x").get_items(id="1")
    assert [item.key for item in reply.items] == [b"page 1", b"page 2"][:1]


def test_the_address_is_known(connection: SyncConnection, loopback: Loopback) -> None:
    assert connection.url == loopback.url


def test_pages_are_walked(connection: SyncConnection) -> None:
    pages = connection.client(SyncKeyValue, "x").get_items.pages(id="1")
    assert [item.key for page in pages for item in page.items] == [b"page 1", b"page 2"]


def test_a_problem_is_raised_in_the_calling_thread(connection: SyncConnection) -> None:
    with pytest.raises(InvalidArgument, match="id is empty"):
        connection.client(SyncKeyValue, "x").get_items(id="")


def test_what_one_wrote_is_asked_for_by_the_next_read(connection: SyncConnection) -> None:
    client = connection.client(SyncKeyValue, "x")
    token = client.put_items(id="1", items=[PutItem(key=b"k", value=b"v")]).idempotency_token
    assert client.get_items(id="1").items[0].metadata.token == token


def written(connection: SyncConnection) -> list[IdempotencyToken]:
    """The tokens of 64 puts by eight threads."""
    client = connection.client(SyncKeyValue, "x")

    def put(number: int) -> IdempotencyToken:
        return client.put_items(id=str(number), items=[PutItem(key=b"k", value=b"v")]).idempotency_token

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(put, range(64)))


def test_threads_may_share_a_connection(connection: SyncConnection) -> None:
    assert len({token.token for token in written(connection)}) == 64


def test_no_two_writes_of_a_connection_have_the_same_time(connection: SyncConnection) -> None:
    assert len({token.generation_time for token in written(connection)}) == 64


def test_options_hold_for_a_client(connection: SyncConnection, loopback: Loopback) -> None:
    connection.client(SyncKeyValue, "x").with_options(request_id="mine").get_items(id="1")
    assert loopback.request_ids[-1] == "mine"


def test_the_token_is_sent(loopback: Loopback) -> None:
    with connect_sync(loopback.url, token="sst_a_b") as connection:
        connection.client(SyncKeyValue, "x").get_items(id="1")
    assert loopback.authorizations == ["Bearer sst_a_b"]


def test_an_address_that_is_none_is_refused_before_a_thread_starts() -> None:
    before = set(threading.enumerate())
    with pytest.raises(InvalidArgument):
        connect_sync("nowhere")
    assert set(threading.enumerate()) <= before


def test_nobody_listening_is_unreachable() -> None:
    settings = Settings(retry=RetryPolicy(retries=0))
    with connect_sync("http://127.0.0.1:1", settings=settings) as connection, pytest.raises(Unreachable):
        connection.client(SyncKeyValue, "x").get_items(id="1")


def test_closing_ends_the_thread_and_may_be_repeated(loopback: Loopback) -> None:
    # Threads of earlier tests' servers may end meanwhile.
    before = set(threading.enumerate())
    connection = connect_sync(loopback.url)
    connection.close()
    connection.close()
    assert set(threading.enumerate()) <= before


def test_a_closed_connection_takes_no_call(loopback: Loopback) -> None:
    connection = connect_sync(loopback.url)
    connection.close()
    with pytest.raises(Unavailable, match="closed"):
        connection.client(SyncKeyValue, "x").get_items(id="1")


async def test_it_may_be_used_beside_a_running_loop(connection: SyncConnection) -> None:
    # Blocking the loop is unwise, but it must not hang: the connection has a loop of its own.
    assert connection.client(SyncKeyValue, "x").get_items(id="1").items
