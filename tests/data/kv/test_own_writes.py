"""A client sees its own writes by itself, whatever became of the cache of the server that answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx2
import pytest
from tests.data.kv.ada import countess, forget, name
from tests.data.kv.caches import World, settle
from tests.data.kv.conftest import ALL, Clock, item

from soundstage.client import Connection, connect
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.core.message import Duration, IdempotencyToken
from soundstage.data.kv.api import (
    DeleteItems,
    DeleteItemsReply,
    GetItems,
    GetItemsReply,
    KeyValue,
    KeyValueCalls,
    MutateItems,
    MutateItemsReply,
    PutItems,
    PutItemsReply,
    PutValue,
    PutValueReply,
    Selection,
)
from soundstage.data.kv.own_writes import OwnWrites
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.http.app import Application

LONG = Duration(60 * 10**9)


class Far:
    """Answers writes as told, and keeps the reads that came."""

    def __init__(self, remember_for: Duration | None = LONG) -> None:
        self.remember_for = remember_for
        self.reads: list[GetItems] = []
        self.fails: list[Exception] = []

    async def send(self, request: Any) -> Any:
        if isinstance(request, GetItems):
            self.reads.append(request)
            if self.fails:
                raise self.fails.pop()
            return GetItemsReply(items=[])
        if isinstance(request, MutateItems):
            assert request.idempotency_token is not None
            return MutateItemsReply(idempotency_token=request.idempotency_token, mutation_id="m")
        token: IdempotencyToken = request.idempotency_token
        kind = PutItemsReply if isinstance(request, PutItems) else DeleteItemsReply
        return kind(idempotency_token=token, remember_for=self.remember_for)


class Memory:
    """One memory and what is behind it."""

    def __init__(self, environment: VirtualEnvironment, clock: Clock, records_max: int = 10) -> None:
        self.own = OwnWrites(environment, records_max)
        self.far = Far()
        self.clock = clock

    async def put(self, id: str = "ada", namespace: str = "people", at: int = 0) -> IdempotencyToken:
        token = self.clock.token(at)
        request = PutItems(namespace=namespace, id=id, items=[], idempotency_token=token)
        await self.own.around(KeyValueCalls.put_items, request, self.far.send)
        return token

    async def read(self, id: str = "ada", namespace: str = "people", **more: Any) -> GetItems:
        """The read as the server got it."""
        request = GetItems(namespace=namespace, id=id, **more)
        await self.own.around(KeyValueCalls.get_items, request, self.far.send)
        return self.far.reads[-1]


@pytest.fixture
def memory(environment: VirtualEnvironment, clock: Clock) -> Memory:
    return Memory(environment, clock)


async def test_a_read_asks_for_what_was_written(memory: Memory) -> None:
    token = await memory.put()
    assert (await memory.read()).min_version == token


async def test_a_read_of_another_record_or_namespace_asks_for_nothing(memory: Memory) -> None:
    await memory.put()
    assert await memory.read("grace") == GetItems(namespace="people", id="grace")
    assert await memory.read(namespace="others") == GetItems(namespace="others", id="ada")


async def test_of_two_writes_the_greater_is_asked_for_whichever_came_last(memory: Memory) -> None:
    greater = await memory.put(at=1_000)
    await memory.put(at=-1_000)
    assert (await memory.read()).min_version == greater


async def test_a_delete_is_remembered(memory: Memory, clock: Clock) -> None:
    token = clock.token()
    request = DeleteItems(namespace="people", id="ada", predicate=ALL, idempotency_token=token)
    await memory.own.around(KeyValueCalls.delete_items, request, memory.far.send)
    assert (await memory.read()).min_version == token


async def test_a_value_that_came_as_a_stream_is_remembered(memory: Memory, clock: Clock) -> None:
    token = clock.token()
    reply = PutValueReply(idempotency_token=token, size=0, checksum="", remember_for=LONG)
    memory.own.answered(PutValue(namespace="people", id="ada", key=b"film"), reply)
    assert (await memory.read()).min_version == token


async def test_what_the_server_does_not_ask_to_remember_is_not(memory: Memory) -> None:
    memory.far.remember_for = None
    await memory.put()
    assert (await memory.read()).min_version is None


async def test_mutations_that_are_only_accepted_are_not_asked_for(memory: Memory, clock: Clock) -> None:
    request = MutateItems(mutations=[], idempotency_token=clock.token())
    await memory.own.around(KeyValueCalls.mutate_items, request, memory.far.send)
    assert (await memory.read()).min_version is None


async def test_a_write_that_failed_is_not_remembered(memory: Memory, clock: Clock) -> None:
    async def fail(request: Any) -> Any:
        raise Unavailable("away")

    request = PutItems(namespace="people", id="ada", items=[], idempotency_token=clock.token())
    with pytest.raises(Unavailable):
        await memory.own.around(KeyValueCalls.put_items, request, fail)
    assert (await memory.read()).min_version is None


async def test_after_its_time_a_write_is_forgotten(memory: Memory, environment: VirtualEnvironment) -> None:
    await memory.put()
    environment.advance(60)
    assert (await memory.read()).min_version is None


@pytest.mark.parametrize("said", ["min_version", "selection", "page_token"])
async def test_a_read_that_says_for_itself_is_left_as_it_is(memory: Memory, clock: Clock, said: str) -> None:
    await memory.put()
    own: dict[str, Any] = {"min_version": clock.token(), "selection": Selection(item_limit=1), "page_token": "p"}
    given = {said: own[said]}
    assert await memory.read(**given) == GetItems(namespace="people", id="ada", **given)


async def test_a_memory_that_is_full_makes_reads_of_unknown_records_ask_the_store(
    environment: VirtualEnvironment, clock: Clock
) -> None:
    memory = Memory(environment, clock, records_max=2)
    await memory.put("ada")
    kept = [await memory.put(id) for id in ("grace", "mary")]
    assert (await memory.read("ada")).selection == Selection()
    assert (await memory.read("never seen")).selection == Selection()
    assert [(await memory.read(id)).min_version for id in ("grace", "mary")] == kept


async def test_what_is_written_again_is_kept_longest(environment: VirtualEnvironment, clock: Clock) -> None:
    memory = Memory(environment, clock, records_max=2)
    for id in ("ada", "grace", "ada", "mary"):
        await memory.put(id)
    assert (await memory.read("ada")).min_version is not None
    assert (await memory.read("grace")).min_version is None


async def test_a_full_memory_says_nothing_of_other_namespaces(environment: VirtualEnvironment, clock: Clock) -> None:
    memory = Memory(environment, clock, records_max=1)
    await memory.put("ada")
    await memory.put("grace")
    assert (await memory.read("ada", namespace="others")).selection is None


async def test_once_the_forgotten_would_be_over_the_cache_is_asked_again(
    environment: VirtualEnvironment, clock: Clock
) -> None:
    memory = Memory(environment, clock, records_max=1)
    await memory.put("ada")
    environment.advance(30)
    await memory.put("grace")
    environment.advance(30)
    assert (await memory.read("ada")).selection is None


async def test_what_is_over_may_be_forgotten_without_a_word(environment: VirtualEnvironment, clock: Clock) -> None:
    memory = Memory(environment, clock, records_max=1)
    await memory.put("ada")
    environment.advance(60)
    await memory.put("grace")
    assert (await memory.read("ada")).selection is None


async def test_a_record_that_was_made_anew_is_read_as_it_is(memory: Memory) -> None:
    await memory.put()
    memory.far.fails = [Unavailable("not reached", field="min_version")]
    assert (await memory.read()).min_version is None
    assert (await memory.read()).min_version is None
    assert len(memory.far.reads) == 3


@pytest.mark.parametrize("error", [Unavailable("away"), TimeoutError()])
async def test_other_failures_are_the_callers(memory: Memory, error: Exception) -> None:
    await memory.put()
    memory.far.fails = [error]
    with pytest.raises(type(error)):
        await memory.read()
    assert (await memory.read()).min_version is not None


async def test_a_min_version_of_the_callers_own_that_is_not_reached_is_an_error(memory: Memory, clock: Clock) -> None:
    memory.far.fails = [Unavailable("not reached", field="min_version")]
    with pytest.raises(Unavailable):
        await memory.read(min_version=clock.token())


# Over HTTP, from two servers with one store and one cache.


class Turning(httpx2.AsyncBaseTransport):
    """Each request goes to the server of the number that `to` says."""

    def __init__(self, stages: list[Stage]) -> None:
        self.to = 0
        self.requests: list[bytes] = []
        self._servers = [httpx2.ASGITransport(app=cast("Any", Application(stage, HttpConfig()))) for stage in stages]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request.content)
        return await self._servers[self.to].handle_async_request(request)


class Pair:
    """Two servers, and clients of both at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.turning = Turning(world._stages)
        self.connection: Connection = connect("http://127.0.0.1", environment=world.environment, transport=self.turning)

    @property
    def kv(self) -> KeyValue:
        return self.connection.client(KeyValue, "people")

    async def write_untold(self, write: Any) -> None:
        """The first server makes a write that it cannot tell the cache of, and the next call is the other's."""
        self.turning.to = 0
        self.world.cache.away = True
        await write(self.kv)
        self.world.cache.away = False
        self.world.environment.advance(1.1)
        self.turning.to = 1


@pytest.fixture
async def pair(world: World) -> AsyncIterator[Pair]:
    """Two servers of which the second has what the record was kept in the cache."""
    first = await world.open()
    await world.open()
    await first.put_items(id="ada", items=[item(b"name", b"Ada")])
    await settle()
    pair = Pair(world)
    pair.turning.to = 1
    assert await name(pair.kv) == b"Ada"
    yield pair
    await pair.connection.close()


async def stream(kv: KeyValue) -> None:
    await kv.put_value(b"Countess", id="ada", key=b"name")


@pytest.mark.parametrize(("write", "expected"), [(countess, b"Countess"), (forget, None), (stream, b"Countess")])
async def test_another_server_shows_a_client_its_own_write(pair: Pair, write: Any, expected: bytes | None) -> None:
    await pair.write_untold(write)
    assert await name(pair.kv) == expected


async def test_who_wrote_nothing_is_shown_what_was_kept(pair: Pair) -> None:
    await pair.write_untold(countess)
    other = connect("http://127.0.0.1", environment=pair.world.environment, transport=pair.turning)
    assert await name(other.client(KeyValue, "people")) == b"Ada"


async def test_clients_of_one_connection_remember_together(pair: Pair) -> None:
    await pair.write_untold(countess)
    assert await name(pair.connection.client(KeyValue, "people")) == b"Countess"


async def test_a_client_that_forgot_is_answered_by_the_store(pair: Pair) -> None:
    recall = pair.connection._recalls.of(KeyValueCalls.get_items)
    assert isinstance(recall, OwnWrites)
    recall._records_max = 1
    await pair.write_untold(countess)
    await pair.kv.put_items(id="grace", items=[item(b"name", b"Grace")])
    assert await name(pair.kv) == b"Countess"


async def test_a_namespace_that_was_made_anew_is_read_at_once(pair: Pair) -> None:
    await countess(pair.kv)
    await pair.world.drop()
    await pair.world.configure()
    pair.turning.to = 0
    assert await name(pair.kv) is None


async def test_a_record_that_was_truncated_is_read_at_once(pair: Pair) -> None:
    await countess(pair.kv)
    await pair.kv.truncate(confirm="people")
    asked = len(pair.turning.requests)
    assert await name(pair.kv) is None
    assert len(pair.turning.requests) == asked + 1


async def test_pages_go_on_whatever_was_written_meanwhile(pair: Pair) -> None:
    await pair.kv.put_items(id="ada", items=[item(b"%03d" % number, bytes(40_000)) for number in range(100)])
    seen: list[bytes] = []
    async for page in pair.kv.get_items.pages(id="ada"):
        seen += [found.key for found in page.items]
        await countess(pair.kv)
    assert len(seen) == 101


@pytest.mark.parametrize(
    ("knobs", "remembered"),
    [
        ({}, True),
        ({"consistency": "eventual", "conditional_writes": False}, False),
        ({"cache": {"engine": None}}, False),
    ],
)
async def test_writes_are_remembered_where_a_cache_may_not_have_them(
    world: World, knobs: dict[str, Any], remembered: bool
) -> None:
    kv = await world.open(**knobs)
    reply = await kv.put_items(id="ada", items=[item(b"name", b"Ada")])
    assert reply.remember_for == (Duration(240 * 10**9) if remembered else None)


async def test_in_process_ones_own_write_is_seen_without_a_memory(world: World) -> None:
    kv = await world.open()
    await kv.put_items(id="ada", items=[item(b"name", b"Ada")])
    await settle()
    await name(kv)
    world.cache.away = True
    await countess(kv)
    world.cache.away = False
    assert await name(kv) == b"Countess"
