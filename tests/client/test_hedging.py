"""A second request beside a slow read, and never more than that."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from tests.client.conftest import Meet
from tests.client.stand_in import Answer, items_reply, problem, put_reply, silent

from soundstage.client import Connection, Settings
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, DeadlineExceeded, NotFound, Unavailable
from soundstage.core.policy import HedgePolicy, RetryPolicy
from soundstage.data.kv.api import KeyValue, PutItem

HEDGED = Settings(hedge=HedgePolicy(after_s=0.05), retry=RetryPolicy(retries=0))


def after(seconds: float, answer: Answer, environment: VirtualEnvironment) -> Answer:
    async def late(request: httpx2.Request) -> httpx2.Response:
        for _ in range(round(seconds * 100)):
            await asyncio.sleep(0)
        return await answer(request)

    return late


async def read(connection: Connection) -> list[bytes]:
    reply = await connection.client(KeyValue, "x").get_items(id="1")
    return [item.key for item in reply.items]


async def test_a_quick_read_is_sent_once(meet: Meet) -> None:
    connection, far = meet(items_reply(b"a"), settings=HEDGED)
    assert await read(connection) == [b"a"]
    assert len(far.requests) == 1


async def test_a_slow_read_is_answered_by_its_hedge(meet: Meet) -> None:
    connection, far = meet(silent(), items_reply(b"b"), settings=HEDGED)
    assert await read(connection) == [b"b"]
    assert len(far.requests) == 2


async def test_a_slow_read_that_comes_first_after_all_counts(meet: Meet, environment: VirtualEnvironment) -> None:
    connection, far = meet(after(0.2, items_reply(b"a"), environment), silent(), settings=HEDGED)
    assert await read(connection) == [b"a"]
    assert len(far.requests) == 2


async def test_both_requests_are_one_call_to_the_server(meet: Meet) -> None:
    connection, far = meet(silent(), items_reply(), settings=HEDGED)
    await read(connection)
    assert len(set(far.headers("x-request-id"))) == 1


async def test_a_write_is_never_hedged(meet: Meet, environment: VirtualEnvironment) -> None:
    connection, far = meet(after(0.2, put_reply(), environment), settings=HEDGED)
    await connection.client(KeyValue, "x").put_items(id="1", items=[PutItem(key=b"k", value=b"v")])
    assert len(far.requests) == 1


async def test_without_a_hedge_policy_a_slow_read_is_waited_for(meet: Meet, environment: VirtualEnvironment) -> None:
    connection, far = meet(after(0.2, items_reply(b"a"), environment))
    await read(connection)
    assert len(far.requests) == 1


async def test_a_hedge_that_fails_leaves_the_first_to_answer(meet: Meet, environment: VirtualEnvironment) -> None:
    slow = after(0.5, items_reply(b"a"), environment)
    connection, _ = meet(slow, problem(Unavailable("no")), settings=HEDGED)
    assert await read(connection) == [b"a"]


async def test_when_both_fail_the_error_is_that_of_the_first(meet: Meet, environment: VirtualEnvironment) -> None:
    slow = after(0.5, problem(NotFound("the first")), environment)
    connection, _ = meet(slow, problem(DataLoss("the second")), settings=HEDGED)
    with pytest.raises(NotFound, match="the first"):
        await read(connection)


async def test_hedges_of_a_server_that_is_always_slow_are_bounded(meet: Meet, environment: VirtualEnvironment) -> None:
    connection, far = meet(after(0.2, items_reply(b"a"), environment), settings=HEDGED)
    for _ in range(100):
        await read(connection)
    # A reserve of ten and a twentieth of the calls.
    assert 110 <= len(far.requests) <= 116


async def test_the_deadline_ends_both(meet: Meet) -> None:
    connection, far = meet(silent(), settings=HEDGED)
    with pytest.raises(DeadlineExceeded):
        await connection.client(KeyValue, "x").with_options(deadline=0.2).get_items(id="1")
    assert len(far.requests) == 2


async def test_nothing_of_a_call_outlives_it(meet: Meet) -> None:
    connection, _ = meet(silent(), items_reply(), settings=HEDGED)
    await read(connection)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
