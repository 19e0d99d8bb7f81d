"""redis-py, as its users use it, against a door.

Of what its own description shows, the programs with strings run as they are. Its pipeline does not: as shown, without
arguments, it is a transaction, which the door does not offer and refuses as a whole; it runs with `transaction=False`.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
from collections.abc import Iterator
from importlib.metadata import metadata
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from soundstage.runtime.stage import Stage
from soundstage.runtime.sync_stage import SyncStage
from soundstage.runtime.tokens.api import SyncTokens

PORT = "6379"
FENCE = re.compile(r"^``` ?python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SESSION = re.compile(r"^>>> |^\.\.\. ", re.MULTILINE)


@pytest.fixture(scope="module")
def stage() -> Iterator[SyncStage]:
    config = {"doors": {"resp": {"listen": "127.0.0.1:0"}}}
    with Stage.open_sync(data="memory:", config=config) as stage:
        yield stage


@pytest.fixture(scope="module")
def port(stage: SyncStage) -> int:
    return int(stage.open_doors()[0].address.rpartition(":")[2])


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def r(request: pytest.FixtureRequest, port: int) -> Iterator[Any]:
    with redis.Redis(port=port, protocol=request.param, decode_responses=True) as client:
        yield client
        for key in client.scan_iter():
            client.delete(key)


def shown() -> list[str]:
    """The programs in redis-py's own description that connect to a server and use what the door offers, as it is."""
    return [each for each in programs() if "redis.Redis(" in each and ".get(" in each]


def programs() -> list[str]:
    """The programs in redis-py's own description."""
    described: Any = metadata("redis")
    text = described.get_payload() or described["description"]
    return ["\n".join(line[4:] for line in block.splitlines() if SESSION.match(line)) for block in FENCE.findall(text)]


def test_its_description_shows_how_to_begin() -> None:
    assert shown()


@pytest.mark.parametrize("program", shown())
def test_what_its_description_shows_runs(port: int, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def redirected(self: socket.socket, address: Any) -> None:
        connect(self, ("127.0.0.1", port) if address[1] == int(PORT) else address)

    monkeypatch.setattr(socket.socket, "connect", redirected)
    namespace: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(program, namespace)
    assert namespace["r"].get("foo") in (b"bar", "bar")


def test_strings(r: Any) -> None:
    assert r.set("full_name", "john doe") is True
    assert (r.exists("full_name"), r.get("full_name"), r.strlen("full_name")) == (1, "john doe", 8)
    assert r.set("key", "value", ex=100, nx=True) is True
    assert r.set("key", "value", nx=True) is None
    assert (r.ttl("key"), r.set("key", "other", keepttl=True, get=True), r.ttl("key")) == (100, "value", 100)
    assert r.mset({"name": "Adam", "age": 30}) is True
    assert r.mget("name", "age", "missing") == ["Adam", "30", None]
    assert (r.getdel("name"), r.getex("age", px=5_000), r.pttl("age") > 4_000) == ("Adam", "30", True)
    assert r.delete("age", "missing") == 1
    r["item"] = "by name"
    assert (r["item"], "item" in r) == ("by name", True)


def test_hashes(r: Any) -> None:
    assert r.hset("user:1", "name", "Alice") == 1
    assert r.hset("user:1", mapping={"name": "Alice", "age": 30}) == 1
    assert r.hgetall("user:1") == {"name": "Alice", "age": "30"}
    assert (r.hexists("user:1", "age"), r.hexists("user:1", "phone")) == (True, False)
    assert (r.hkeys("user:1"), r.hvals("user:1"), r.hlen("user:1")) == (["age", "name"], ["30", "Alice"], 2)
    assert (r.hmget("user:1", ["age", "x"]), r.hdel("user:1", "age"), r.hsetnx("user:1", "name", "B")) == (
        ["30", None],
        1,
        0,
    )
    assert r.type("user:1") == "hash"


def test_walks(r: Any) -> None:
    for number in range(50):
        r.set(f"key:{number}", number)
    r.hset("h", mapping={f"f{number}": number for number in range(50)})
    assert sorted(r.scan_iter(match="key:*")) == sorted(f"key:{number}" for number in range(50))
    assert dict(r.hscan_iter("h")) == {f"f{number}": str(number) for number in range(50)}
    assert list(r.scan_iter(_type="hash")) == ["h"]
    assert r.dbsize() == 51


def test_expiry(r: Any) -> None:
    r.set("a", "1")
    assert (r.expire("a", 100), r.ttl("a"), r.persist("a"), r.ttl("a"), r.ttl("b")) == (True, 100, True, -1, -2)
    assert r.expireat("a", 4_000_000_000 - 2_000_000_000) is True
    assert r.expiretime("a") == 2_000_000_000


def test_pipelines_without_a_transaction(r: Any) -> None:
    pipeline = r.pipeline(transaction=False)
    for number in range(100):
        pipeline.set(f"k{number}", number)
    pipeline.get("k99").hset("h", "f", "1").get("h")
    replies = pipeline.execute(raise_on_error=False)
    assert replies[:100] == [True] * 100
    assert replies[100:102] == ["99", 1]
    assert isinstance(replies[102], redis.ResponseError)


def test_a_transaction_says_how_to_do_without_and_stores_nothing(r: Any) -> None:
    pipeline = r.pipeline()
    pipeline.set("a", "1").set("b", "2")
    with pytest.raises(redis.ResponseError, match="transaction=False"):
        pipeline.execute()
    assert r.mget("a", "b") == [None, None]


def pipelined() -> str:
    """The program in redis-py's own description that shows pipelines."""
    (program,) = [each for each in programs() if "r.pipeline()" in each]
    return program


def test_the_pipeline_of_its_description_is_refused_as_it_is(r: Any) -> None:
    with pytest.raises(redis.ResponseError, match="transaction=False"):
        exec(pipelined(), {"r": r})
    assert r.dbsize() == 0


def test_the_pipeline_of_its_description_runs_without_a_transaction(r: Any) -> None:
    exec(pipelined().replace("r.pipeline()", "r.pipeline(transaction=False)"), {"r": r})
    assert r.mget("foo", "bar", "blee") == ["5", "18.5", "hello world!"]


def test_what_is_not_offered_is_an_error_and_the_connection_goes_on(r: Any) -> None:
    with pytest.raises(redis.ResponseError, match="lists are no part of kv"):
        r.lpush("l", "1")
    assert r.ping() is True


def test_a_wrong_kind_is_told(r: Any) -> None:
    r.hset("h", "f", "1")
    with pytest.raises(redis.ResponseError, match="wrong kind of value"):
        r.get("h")


def test_the_server_is_described(r: Any) -> None:
    assert r.info("server")["redis_mode"] == "standalone"
    assert r.client_setname("me") is True
    assert (r.client_getname(), r.echo("x"), r.config_get("save")) == ("me", "x", {"save": ""})
    assert r.command_count() > 40
    assert any(each["name"] == "me" for each in r.client_list())


async def test_its_asynchronous_client(port: int) -> None:
    async with redis.asyncio.Redis(port=port, decode_responses=True) as client:
        await client.set("async", "1")
        assert await client.get("async") == "1"
        await client.delete("async")


def test_many_threads_share_a_pool(port: int) -> None:
    client = redis.Redis(port=port, decode_responses=True)
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(20):
            client.set(f"t{number}", turn)
            if client.get(f"t{number}") != str(turn):
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    client.close()
    assert wrong == []


def test_a_token_is_its_password() -> None:
    config = {"doors": {"resp": {"listen": "127.0.0.1:0"}}, "auth": {"mode": "tokens"}}
    with Stage.open_sync(data="memory:", config=config) as stage:
        port = int(stage.open_doors()[0].address.rpartition(":")[2])
        token = stage.client(SyncTokens).create(name="app", roles=["write"]).bearer
        for protocol in (2, 3):
            with redis.Redis(port=port, password=token, protocol=protocol) as client:
                assert client.set("a", "1") is True
        with redis.Redis(port=port, username="app", password=token) as client:
            assert client.get("a") == b"1"
        # It would try again, and wait in between, what it takes for a broken connection.
        once = Retry(NoBackoff(), 0)
        with redis.Redis(port=port, retry=once) as client, pytest.raises(redis.AuthenticationError):
            client.get("a")
        with redis.Redis(port=port, password="wrong", retry=once) as client, pytest.raises(redis.AuthenticationError):
            client.get("a")
