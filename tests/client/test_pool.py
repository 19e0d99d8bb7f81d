"""Connections are lent to one call at a time, used again, and never more than the limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from tests.client.loopback import Loopback
from tests.client.stand_in import Answer, FarEnd, broken, silent
from tests.client.stand_in import body as whole

from soundstage.client import connect
from soundstage.client.pool import Pool
from soundstage.data.kv import KeyValue

URL = "http://stage.test/"


class Body(httpx2.AsyncByteStream):
    """A body that has yet to arrive, as one from a socket has."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content


def body(content: bytes) -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Body(content))

    return answer


class Wires:
    """Makes the transports of a pool and remembers them."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.made: list[FarEnd] = []

    def __call__(self) -> FarEnd:
        self.made.append(FarEnd(*self.answers))
        return self.made[-1]


def asked(pool_timeout_s: float | None = None) -> httpx2.Request:
    extensions = {} if pool_timeout_s is None else {"timeout": {"pool": pool_timeout_s}}
    return httpx2.Request("POST", URL, extensions=extensions)


async def call(pool: Pool) -> httpx2.Response:
    response = await pool.handle_async_request(asked())
    await response.aclose()
    return response


async def test_a_connection_is_used_again() -> None:
    wires = Wires(body(b""))
    pool = Pool(wires, 10)
    await call(pool)
    await call(pool)
    assert [len(wire.requests) for wire in wires.made] == [2]


async def test_a_connection_is_lent_until_its_response_is_closed() -> None:
    wires = Wires(body(b""))
    pool = Pool(wires, 10)
    first = await pool.handle_async_request(asked())
    await call(pool)
    await first.aclose()
    assert [len(wire.requests) for wire in wires.made] == [1, 1]


async def test_a_response_that_came_whole_frees_its_connection_at_once() -> None:
    wires = Wires(whole(b"said"))
    pool = Pool(wires, 1)
    for _ in range(2):
        assert (await pool.handle_async_request(asked())).content == b"said"
    assert len(wires.made) == 1


async def test_the_one_used_last_is_taken_next() -> None:
    wires = Wires(body(b""))
    pool = Pool(wires, 10)
    first, second = [await pool.handle_async_request(asked()) for _ in range(2)]
    await second.aclose()
    await first.aclose()
    await call(pool)
    assert [len(wire.requests) for wire in wires.made] == [2, 1]


async def test_the_body_is_that_of_the_response() -> None:
    response = await Pool(Wires(body(b"said")), 1).handle_async_request(asked())
    assert await response.aread() == b"said"


async def test_a_call_over_the_limit_waits_for_one_to_end() -> None:
    wires = Wires(body(b""))
    pool = Pool(wires, 1)
    first = await pool.handle_async_request(asked())
    waiting = asyncio.create_task(call(pool))
    await asyncio.sleep(0)
    assert not waiting.done()
    await first.aclose()
    await waiting
    assert len(wires.made) == 1


async def test_a_call_that_waits_too_long_was_never_sent() -> None:
    wires = Wires(body(b""))
    pool = Pool(wires, 1)
    await pool.handle_async_request(asked())
    with pytest.raises(httpx2.PoolTimeout):
        await pool.handle_async_request(asked(pool_timeout_s=0.0))
    assert len(wires.made[0].requests) == 1


async def test_a_connection_that_failed_is_free_again() -> None:
    pool = Pool(Wires(broken(httpx2.ReadError("reset")), body(b"")), 1)
    with pytest.raises(httpx2.ReadError):
        await call(pool)
    assert (await call(pool)).status_code == 200


async def test_a_call_that_is_given_up_frees_its_connection() -> None:
    pool = Pool(Wires(silent(), body(b"")), 1)
    giving_up = asyncio.create_task(call(pool))
    await asyncio.sleep(0)
    giving_up.cancel()
    await asyncio.gather(giving_up, return_exceptions=True)
    assert (await call(pool)).status_code == 200


async def test_closing_a_response_twice_frees_its_connection_once() -> None:
    wires = Wires(body(b""))
    pool = Pool(wires, 2)
    response = await pool.handle_async_request(asked())
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    await stream.aclose()
    await stream.aclose()
    both = [await pool.handle_async_request(asked()) for _ in range(2)]
    assert len(both) == len(wires.made) == 2


async def test_closing_the_pool_closes_the_idle_connections() -> None:
    wires = Wires(body(b""))
    pool = Pool(wires, 2)
    await call(pool)
    await pool.aclose()
    assert [wire.closed for wire in wires.made] == [True]


async def test_a_connection_in_use_is_closed_when_its_call_ends() -> None:
    wires = Wires(body(b""))
    pool = Pool(wires, 2)
    response = await pool.handle_async_request(asked())
    await pool.aclose()
    assert [wire.closed for wire in wires.made] == [False]
    await response.aclose()
    assert [wire.closed for wire in wires.made] == [True]


async def test_many_calls_at_once_go_through_real_sockets() -> None:
    with Loopback() as server:
        async with connect(server.url) as connection:
            get = connection.client(KeyValue, "x").get_items
            replies = await asyncio.gather(*(get(id=str(number)) for number in range(20)))
    assert len(replies) == len(server.request_ids) == 20
