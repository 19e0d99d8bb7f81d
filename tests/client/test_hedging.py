"""A second request beside a slow read, and never more than that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from tests.client.conftest import Meet
from tests.client.stand_in import Answer, FarEnd, items_reply, problem, put_reply, silent

from soundstage.client import Connection, Settings
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, DeadlineExceeded, NotFound, Unavailable
from soundstage.core.policy import HedgePolicy, RetryPolicy
from soundstage.data.kv.api import KeyValue, PutItem

HEDGED = Settings(hedge=HedgePolicy(after_s=0.05), retry=RetryPolicy(retries=0))

Proven = Callable[..., Awaitable[tuple[Connection, FarEnd]]]

EARNING = 20
"""Reads that were answered at once, for each of which a twentieth of a hedge may be sent."""


def after(seconds: float, answer: Answer, environment: VirtualEnvironment) -> Answer:
    async def late(request: httpx2.Request) -> httpx2.Response:
        for _ in range(round(seconds * 100)):
            await asyncio.sleep(0)
        return await answer(request)

    return late


async def read(connection: Connection) -> list[bytes]:
    reply = await connection.client(KeyValue, "x").get_items(id="1")
    return [item.key for item in reply.items]


@pytest.fixture
async def proven(meet: Meet) -> Proven:
    """As `meet`, with a connection that may send one hedge; the far end has forgotten what came before."""

    async def proven(*answers: Answer, settings: Settings = HEDGED) -> tuple[Connection, FarEnd]:
        connection, far = meet(items_reply(), settings=settings)
        for _ in range(EARNING):
            await read(connection)
        far.answers = answers
        far.requests.clear()
        return connection, far

    return proven


async def test_a_quick_read_is_sent_once(proven: Proven) -> None:
    connection, far = await proven(items_reply(b"a"))
    assert await read(connection) == [b"a"]
    assert len(far.requests) == 1


async def test_a_slow_read_is_answered_by_its_hedge(proven: Proven) -> None:
    connection, far = await proven(silent(), items_reply(b"b"))
    assert await read(connection) == [b"b"]
    assert len(far.requests) == 2


async def test_a_slow_read_that_comes_first_after_all_counts(proven: Proven, environment: VirtualEnvironment) -> None:
    connection, far = await proven(after(0.2, items_reply(b"a"), environment), silent())
    assert await read(connection) == [b"a"]
    assert len(far.requests) == 2


async def test_both_requests_are_one_call_to_the_server(proven: Proven) -> None:
    connection, far = await proven(silent(), items_reply())
    await read(connection)
    assert len(set(far.headers("x-request-id"))) == 1


async def test_a_write_is_never_hedged(proven: Proven, environment: VirtualEnvironment) -> None:
    connection, far = await proven(after(0.2, put_reply(), environment))
    await connection.client(KeyValue, "x").put_items(id="1", items=[PutItem(key=b"k", value=b"v")])
    assert len(far.requests) == 1


async def test_without_a_hedge_policy_a_slow_read_is_waited_for(
    proven: Proven, environment: VirtualEnvironment
) -> None:
    connection, far = await proven(after(0.2, items_reply(b"a"), environment), settings=Settings())
    await read(connection)
    assert len(far.requests) == 1


async def test_a_hedge_that_fails_leaves_the_first_to_answer(proven: Proven, environment: VirtualEnvironment) -> None:
    slow = after(0.5, items_reply(b"a"), environment)
    connection, _ = await proven(slow, problem(Unavailable("no")))
    assert await read(connection) == [b"a"]


async def test_when_both_fail_the_error_is_that_of_the_first(proven: Proven, environment: VirtualEnvironment) -> None:
    slow = after(0.5, problem(NotFound("the first")), environment)
    connection, _ = await proven(slow, problem(DataLoss("the second")))
    with pytest.raises(NotFound, match="the first"):
        await read(connection)


async def test_hedges_of_a_server_that_is_always_slow_are_bounded(
    proven: Proven, environment: VirtualEnvironment
) -> None:
    connection, far = await proven(after(0.2, items_reply(b"a"), environment))
    for _ in range(100):
        await read(connection)
    # A twentieth of all calls, those among them that earned the first.
    assert len(far.requests) == 106


async def test_the_deadline_ends_both(proven: Proven) -> None:
    connection, far = await proven(silent())
    with pytest.raises(DeadlineExceeded):
        await connection.client(KeyValue, "x").with_options(deadline=0.2).get_items(id="1")
    assert len(far.requests) == 2


async def test_nothing_of_a_call_outlives_it(proven: Proven) -> None:
    connection, _ = await proven(silent(), items_reply())
    await read(connection)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
