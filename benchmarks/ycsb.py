"""How does the key-value store do under YCSB? A to F, beside Redis and beside Cassandra's driver.

`benchmarks/ycsb_workloads.py` has the workloads. All sides do the same operations in turns, as many at once. Redis has
a record as a hash, and a conversation as a hash beside a sorted set of its keys; redis-py asks it, as our own client
does `soundstage up`. The rival on Cassandra is the bare driver with one row per field, as its documentation would have
it: without tokens, repetition, expiry or anything else that needs a rule. No server flushes before it answers.
Where a program `dynalite` is on the PATH (`npm install --global dynalite`), what speaks DynamoDB's protocol there is
measured too. Redis needs `apt-get install redis-server`; `soundstage.servers` brings Cassandra.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
import uvloop

from benchmarks.cassandra_driver import driven
from benchmarks.programs import dynalite, need, redis
from benchmarks.report import Figure, figure, options, show, turns
from benchmarks.ycsb_workloads import (
    FIELDS,
    WORKLOADS,
    Draw,
    Operation,
    conversation_of,
    field_names,
    value_of,
)
from soundstage.client import connect
from soundstage.data.kv import KeyValue, MatchRange, Predicate, PutItem, Selection
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster
from soundstage.testing.crash.process import StageProcess

AT_ONCE = 32
NAMES = field_names()
FIELD = value_of(1)
POST = value_of(2) * FIELDS


class Scale(msgspec.Struct, frozen=True):
    """How much is done: records there are, operations of each workload in a round."""

    rounds: int
    records: int
    operations: int
    workloads: str = "abcdefu"


FULL = Scale(rounds=5, records=20_000, operations=10_000)
QUICK = Scale(rounds=3, records=2_000, operations=1_000)


class Store(Protocol):
    """One side."""

    async def insert(self, record: int) -> None:
        """The record is there, with all fields."""
        ...

    async def post(self, record: int) -> None:
        """The post is there, as an item of its conversation."""
        ...

    async def read(self, record: int) -> None:
        """All fields are read."""
        ...

    async def update(self, record: int, field: int) -> None:
        """One field is written."""
        ...

    async def scan(self, record: int, length: int) -> None:
        """So many posts are read from this one on, within its conversation."""
        ...


class Ours:
    """A namespace of a stage."""

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv
        self._items = [PutItem(key=name, value=FIELD) for name in NAMES]

    async def insert(self, record: int) -> None:
        await self._kv.put_items(id=f"user{record}", items=self._items)

    async def post(self, record: int) -> None:
        conversation, place = conversation_of(record)
        await self._kv.put_items(id=f"talk{conversation}", items=[PutItem(key=b"%04d" % place, value=POST)])

    async def read(self, record: int) -> None:
        page = await self._kv.get_items(id=f"user{record}")
        assert len(page.items) == FIELDS

    async def update(self, record: int, field: int) -> None:
        await self._kv.put_items(id=f"user{record}", items=self._items[field : field + 1])

    async def scan(self, record: int, length: int) -> None:
        conversation, place = conversation_of(record)
        predicate = Predicate(match_range=MatchRange(start=b"%04d" % place))
        page = await self._kv.get_items(
            id=f"talk{conversation}", predicate=predicate, selection=Selection(item_limit=length)
        )
        assert page.items


class Redis:
    """Hashes, and sorted sets of the keys that are scanned."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._fields = dict.fromkeys(NAMES, FIELD)

    async def insert(self, record: int) -> None:
        await self._client.hset(f"user{record}", mapping=self._fields)

    async def post(self, record: int) -> None:
        conversation, place = conversation_of(record)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(f"talk{conversation}", b"%04d" % place, POST)
            pipe.zadd(f"keys{conversation}", {b"%04d" % place: 0})
            await pipe.execute()

    async def read(self, record: int) -> None:
        assert len(await self._client.hgetall(f"user{record}")) == FIELDS

    async def update(self, record: int, field: int) -> None:
        await self._client.hset(f"user{record}", NAMES[field], FIELD)

    async def scan(self, record: int, length: int) -> None:
        conversation, place = conversation_of(record)
        keys = await self._client.zrangebylex(f"keys{conversation}", b"[%04d" % place, "+", 0, length)
        assert await self._client.hmget(f"talk{conversation}", keys)


class Dynalite:
    """A table of DynamoDB's protocol: partition key `id`, sort key `key`."""

    TABLE = "ycsb"

    def __init__(self, client: Any) -> None:
        self._client = client

    async def create(self) -> None:
        """The table is there."""
        keys = (("id", "HASH"), ("key", "RANGE"))
        await self._client.create_table(
            TableName=self.TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        )
        await self._client.get_waiter("table_exists").wait(TableName=self.TABLE, WaiterConfig={"Delay": 1})

    async def insert(self, record: int) -> None:
        puts = [{"PutRequest": {"Item": self._item(f"user{record}", name.decode(), FIELD)}} for name in NAMES]
        await self._client.batch_write_item(RequestItems={self.TABLE: puts})

    async def post(self, record: int) -> None:
        conversation, place = conversation_of(record)
        await self._put(f"talk{conversation}", f"{place:04d}", POST)

    async def read(self, record: int) -> None:
        assert len(await self._query(f"user{record}", "", FIELDS)) == FIELDS

    async def update(self, record: int, field: int) -> None:
        await self._put(f"user{record}", NAMES[field].decode(), FIELD)

    async def scan(self, record: int, length: int) -> None:
        conversation, place = conversation_of(record)
        assert await self._query(f"talk{conversation}", f"{place:04d}", length)

    def _item(self, id: str, key: str, value: bytes) -> dict[str, Any]:
        return {"id": {"S": id}, "key": {"S": key}, "value": {"B": value}}

    async def _put(self, id: str, key: str, value: bytes) -> None:
        await self._client.put_item(TableName=self.TABLE, Item=self._item(id, key, value))

    async def _query(self, id: str, start: str, limit: int) -> list[Any]:
        reply = await self._client.query(
            TableName=self.TABLE,
            Limit=limit,
            KeyConditionExpression="#id = :id AND #key >= :start",
            ExpressionAttributeNames={"#id": "id", "#key": "key"},
            ExpressionAttributeValues={":id": {"S": id}, ":start": {"S": start or " "}},
        )
        return reply["Items"]


class Bare:
    """The driver of Cassandra by itself."""

    def __init__(self, session: Any) -> None:
        self._session = session
        session.execute("CREATE TABLE IF NOT EXISTS naive (id text, key blob, value blob, PRIMARY KEY (id, key))")
        self._put = session.prepare("INSERT INTO naive (id, key, value) VALUES (?, ?, ?)")
        self._read = session.prepare("SELECT key, value FROM naive WHERE id = ?")
        self._scan = session.prepare("SELECT key, value FROM naive WHERE id = ? AND key >= ? LIMIT ?")

    def rate(self, operations: Sequence[Operation], posts: bool) -> float:
        """Operations per second."""
        calls = (self._requests(each, posts) for each in operations)
        return len(operations) / driven(self._session, calls, AT_ONCE)

    def fill(self, records: int) -> None:
        """All records and posts are there."""
        kinds = ((Operation("insert", record), posts) for posts in (False, True) for record in range(records))
        driven(self._session, (self._requests(*each) for each in kinds), AT_ONCE)

    def _requests(self, operation: Operation, posts: bool) -> list[Any]:
        """What an operation takes, one after the other."""
        user = f"user{operation.record}"
        conversation, place = conversation_of(operation.record)
        read, write = self._read.bind((user,)), self._put.bind((user, NAMES[operation.field], FIELD))
        if operation.kind == "insert" and posts:
            return [self._put.bind((f"talk{conversation}", b"%04d" % place, POST))]
        if operation.kind == "insert":
            return [self._batch(user)]
        if operation.kind == "scan":
            return [self._scan.bind((f"talk{conversation}", b"%04d" % place, operation.length))]
        return {"read": [read], "update": [write], "modify": [read, write]}[operation.kind]

    def _batch(self, user: str) -> Any:
        from cassandra.query import BatchStatement, BatchType

        batch = BatchStatement(batch_type=BatchType.UNLOGGED)
        for name in NAMES:
            batch.add(self._put.bind((user, name, FIELD)))
        return batch


async def perform(store: Store, operation: Operation, posts: bool) -> None:
    """The operation is done; `posts` says of what an insert is."""
    kind, record = operation.kind, operation.record
    if kind == "insert":
        await (store.post if posts else store.insert)(record)
    elif kind == "scan":
        await store.scan(record, operation.length)
    elif kind == "update":
        await store.update(record, operation.field)
    else:
        await store.read(record)
        if kind == "modify":
            await store.update(record, operation.field)


async def rate(store: Store, operations: Iterable[Operation], posts: bool) -> float:
    """Operations per second."""
    waiting, done = iter(operations), 0

    async def caller() -> None:
        nonlocal done
        for operation in waiting:
            await perform(store, operation, posts)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return done / (time.perf_counter() - began)


async def fill(store: Store, records: int) -> None:
    """All records and posts are there."""
    for posts in (False, True):
        await rate(store, (Operation("insert", record) for record in range(records)), posts)


class Turn:
    """What a side does in each round of a workload: operations of its own seed, the same for all sides."""

    def __init__(self, name: str, scale: Scale) -> None:
        self._draw = Draw(WORKLOADS[name], scale.records, seed=7)
        self._count = scale.operations
        self._posts = name == "e"

    async def of(self, store: Store | Bare) -> float:
        operations = list(self._draw.operations(self._count))
        if isinstance(store, Bare):
            return await asyncio.to_thread(store.rate, operations, self._posts)
        return await rate(store, operations, self._posts)


async def compared(name: str, scale: Scale, *stores: Store | Bare) -> list[float]:
    """Operations per second of each, by turns."""
    sides = [(Turn(name, scale), store) for store in stores]
    return await turns(scale.rounds, *((lambda turn=turn, store=store: turn.of(store)) for turn, store in sides))


NAMESPACE, DECIDED = "plain", "decided"


@asynccontextmanager
async def stage_at(url: str, folder: Path) -> AsyncGenerator[Stage]:
    """A stage on that engine, with a namespace without conditions and one with them."""
    config = {"engines": {"default": {"url": url, **({"durability": "os"} if url.startswith("rocksdb") else {})}}}
    async with Stage.open(config=config, data=folder, variables={}) as stage:
        for name in (NAMESPACE, DECIDED):
            config = {"conditional_writes": name == DECIDED}
            await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv", config=config))
        yield stage


@asynccontextmanager
async def redis_at(port: int) -> AsyncGenerator[Redis]:
    """A client of a Redis, with as many connections as there are callers."""
    from redis.asyncio import Redis as Client

    async with Client(port=port, max_connections=AT_ONCE) as client:
        yield Redis(client)


@asynccontextmanager
async def dynalite_at(url: str) -> AsyncGenerator[Dynalite]:
    """A client of a dynalite, whose table is there."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    settings = {"region_name": "us-east-1", "aws_access_key_id": "none", "aws_secret_access_key": "none"}
    config = AioConfig(max_pool_connections=AT_ONCE, retries={"max_attempts": 10})
    async with get_session().create_client("dynamodb", endpoint_url=url, config=config, **settings) as client:
        store = Dynalite(client)
        await store.create()
        yield store


@contextmanager
def served(folder: Path) -> Generator[str]:
    """The address of a `soundstage up` that does not flush before it answers."""
    with StageProcess(folder, variables={"SOUNDSTAGE_ENGINES__DEFAULT__DURABILITY": "os"}) as process:
        yield process.url


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Ours]:
    """Our own client of what is served there."""
    async with connect(url) as connection:
        await connection.client(Namespaces).put(namespace=NamespaceSpec(name=DECIDED, abstraction="kv"))
        yield Ours(connection.client(KeyValue, DECIDED))


@contextmanager
def bare(host: str, port: int) -> Generator[Bare]:
    """The driver, in a keyspace of its own with one replica."""
    from cassandra.cluster import Cluster as Driver

    driver = Driver([host], port=port)
    try:
        session = driver.connect()
        session.execute(
            "CREATE KEYSPACE IF NOT EXISTS naive "
            "WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        session.set_keyspace("naive")
        yield Bare(session)
    finally:
        driver.shutdown()


async def alone(scale: Scale) -> list[Figure]:
    """Figures of one process, in this one and over HTTP, beside Redis and what else is there."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soundstage-bench-")))
        port, _ = stack.enter_context(redis(folder / "redis", "no"))
        stage = await stack.enter_async_context(stage_at("rocksdb:records", folder / "ours"))
        stores: dict[str, Store] = {
            "ours": Ours(stage.client(KeyValue, DECIDED)),
            "http": await stack.enter_async_context(connected(stack.enter_context(served(folder / "served")))),
            "redis": await stack.enter_async_context(redis_at(port)),
        }
        if shutil.which("dynalite"):
            stores["dynalite"] = await stack.enter_async_context(dynalite_at(stack.enter_context(dynalite())))
        for store in stores.values():
            await fill(store, scale.records)
        return [each for name in scale.workloads for each in await _beside_all(name, scale, stores)]


async def _beside_all(name: str, scale: Scale, stores: Mapping[str, Store]) -> list[Figure]:
    rates = dict(zip(stores, await compared(name, scale, *stores.values()), strict=True))
    pairs = [("", "ours", "redis"), ("_http", "http", "redis"), ("_dynalite", "http", "dynalite")]
    return [
        figure(f"ycsb.{name}{suffix}", rates[ours], rates[rival], "calls/s", "higher", note=f"rival: {rival}")
        for suffix, ours, rival in pairs
        if rival in rates
    ]


async def clustered(url: str, host: str, port: int, scale: Scale) -> list[Figure]:
    """Figures on Cassandra beside the bare driver."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soundstage-bench-")))
        stage = await stack.enter_async_context(stage_at(url, folder))
        rival = stack.enter_context(bare(host, port))
        plain, decided = (Ours(stage.client(KeyValue, name).with_options(deadline=60)) for name in (NAMESPACE, DECIDED))
        await fill(plain, scale.records)
        await asyncio.to_thread(rival.fill, scale.records)
        await rate(decided, (Operation("insert", record) for record in range(scale.records)), posts=False)
        figures: list[Figure] = []
        for name in scale.workloads:
            ours, theirs = await compared(name, scale, plain, rival)
            target = TARGETS.get(name)
            figures.append(
                figure(f"ycsb.{name}_cassandra", ours, theirs, "calls/s", "higher", target=target, note="rival: driver")
            )
        (found,) = await compared("u", scale, decided)
        return [
            *figures,
            figure("ycsb.u_cassandra_decided", found, None, "calls/s", "higher", note="conditional_writes true"),
        ]


TARGETS = {"c": 0.8, "u": 0.6}
"""Of reads and of writes, on Cassandra."""


def measure(scale: Scale) -> list[Figure]:
    """All figures, on a Cassandra of its own."""
    figures = uvloop.run(alone(scale))
    with Cluster("cassandra") as cluster:
        (node,) = cluster.nodes
        return figures + uvloop.run(clustered(f"{cluster.url}/ycsb", node.host, node.port, scale))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", arguments)
    need({"redis-server": "redis-server"})
    show("YCSB", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
