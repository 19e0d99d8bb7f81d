"""Uploads and downloads over HTTP: against a real server, and against far ends that lose the connection."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.client.conftest import Meet
from tests.client.stand_in import Answer, body, broken, problem, silent
from xxhash import xxh3_128_hexdigest

from soundstage.client import Connection, Unreachable, connect, connect_sync
from soundstage.core.codec import JSON
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    DataLoss,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TooLarge,
    Unavailable,
)
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import Condition, KeyValue, SyncKeyValue
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.surface.http.server import Server

HELLO = b"hello world"
MIB = 1 << 20


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage.open(data="memory:") as stage:
        await stage.client(Namespaces).put(
            namespace=NamespaceSpec(name="people", abstraction="kv", config={"value_max": "16MiB"})
        )
        yield stage


@pytest.fixture
async def url(stage: Stage) -> AsyncIterator[str]:
    server = Server(stage, HttpConfig(port=0))
    yield await server.start()
    await server.stop()


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Connection]:
    async with connect(url) as connection:
        yield connection


@pytest.fixture
def kv(connection: Connection) -> KeyValue:
    return connection.client(KeyValue, "people")


async def got(kv: KeyValue, start: int = 0, end: int | None = None) -> bytes:
    async with kv.get_value(id="a/da", key=b"\xff/", start=start, end=end) as value:
        return await value.read()


class TestAgainstAServer:
    @pytest.mark.parametrize("size", [0, 1, 100_000, 5 * MIB])
    async def test_what_is_put_is_read(self, kv: KeyValue, size: int) -> None:
        content = os.urandom(size)
        reply = await kv.put_value(content, id="a/da", key=b"\xff/")
        async with kv.get_value(id="a/da", key=b"\xff/") as value:
            assert (value.info.checksum, value.info.token) == (reply.checksum, reply.idempotency_token)
            assert (value.size, await value.read(), await value.read()) == (size, content, content)

    async def test_any_source_is_sent(self, kv: KeyValue, tmp_path: Path) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"hello "
            yield b"world"

        (tmp_path / "hello").write_bytes(HELLO)
        for source in (HELLO, tmp_path / "hello", io.BytesIO(HELLO), pieces(), iter([b"hello ", b"world"])):
            assert (await kv.put_value(source, id="a/da", key=b"\xff/")).size == 11
            assert await got(kv) == HELLO

    @pytest.mark.parametrize(("start", "end"), [(0, None), (3, None), (3, 7), (-4, None), (11, None), (0, 0), (5, 50)])
    async def test_a_range_is_read(self, kv: KeyValue, start: int, end: int | None) -> None:
        await kv.put_value(HELLO, id="a/da", key=b"\xff/")
        assert await got(kv, start, end) == HELLO[start:end]

    async def test_a_range_that_is_none_is_refused_as_in_process(self, kv: KeyValue) -> None:
        await kv.put_value(HELLO, id="a/da", key=b"\xff/")
        for start, end in ((12, None), (5, 4)):
            with pytest.raises(InvalidArgument):
                await got(kv, start, end)

    async def test_what_is_not_there_is_not_found(self, kv: KeyValue) -> None:
        with pytest.raises(NotFound):
            await got(kv)

    async def test_refusals_are_those_of_the_stage(self, kv: KeyValue) -> None:
        await kv.put_value(HELLO, id="a/da", key=b"\xff/")
        with pytest.raises(PreconditionFailed):
            await kv.put_value(b"", id="a/da", key=b"\xff/", condition=Condition(key=b"\xff/", absent=True))
        with pytest.raises(TooLarge):
            await kv.put_value(bytes(17 * MIB), id="a/da", key=b"\xff/")
        assert await got(kv) == HELLO

    async def test_a_value_that_is_replaced_is_not_read_on(self, kv: KeyValue) -> None:
        await kv.put_value(HELLO, id="a/da", key=b"\xff/")
        async with kv.get_value(id="a/da", key=b"\xff/") as value:
            assert await value.read() == HELLO
            await kv.put_value(b"other", id="a/da", key=b"\xff/")
            with pytest.raises(Unavailable, match="replaced"):
                await value.read()

    async def test_a_reader_may_leave_early(self, kv: KeyValue, stage: Stage) -> None:
        await kv.put_value(bytes(8 * MIB), id="a/da", key=b"\xff/")
        async with kv.get_value(id="a/da", key=b"\xff/") as value:
            async for part in value:
                assert part
                break
        await kv.put_value(HELLO, id="a/da", key=b"\xff/")
        assert await got(kv) == HELLO

    async def test_a_write_that_was_sent_is_seen_by_the_clock_of_the_client(
        self, kv: KeyValue, connection: Connection
    ) -> None:
        reply = await kv.put_value(HELLO, id="a/da", key=b"\xff/")
        assert connection.clock.last_us >= reply.idempotency_token.generation_time // 1_000

    async def test_a_source_that_fails_is_its_caller_s_own_failure(self, kv: KeyValue, stage: Stage) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield bytes(3 * MIB)
            raise ConnectionError("the cable was pulled")

        for client in (kv, stage.client(KeyValue, "people")):
            with pytest.raises(ConnectionError, match="the cable was pulled"):
                await client.put_value(pieces(), id="a/da", key=b"\xff/")
            assert (await client.count_items(id="a/da")).count == 0

    def test_the_synchronous_client_does_the_same(self, tmp_path: Path) -> None:
        with Stage.open_sync(data="memory:") as local:
            local._thread.run(  # pyright: ignore[reportPrivateUsage]
                local.stage.client(Namespaces).put(namespace=NamespaceSpec(name="people", abstraction="kv"))
            )
            server = Server(local.stage, HttpConfig(port=0))
            address = local._thread.run(server.start())  # pyright: ignore[reportPrivateUsage]
            with connect_sync(address) as stage:
                for kv in (stage.client(SyncKeyValue, "people"), local.client(SyncKeyValue, "people")):
                    kv.put_value(HELLO, id="a", key=b"k")
                    with kv.get_value(id="a", key=b"k", start=6) as value:
                        assert (value.info.size, b"".join(value), value.read()) == (11, b"world", b"world")
                        value.save(tmp_path / "world")
                    assert (tmp_path / "world").read_bytes() == b"world"
            local._thread.run(server.stop())  # pyright: ignore[reportPrivateUsage]


REPLY = b'{"idempotency_token":{"generation_time":"2026-11-27T04:47:09.974894Z","token":"t"},"size":11,"checksum":"00"}'
WRITTEN = '"2026-11-27T04:47:09.974894Z"'
INFO = f'{{"token":{{"generation_time":{WRITTEN},"token":"t"}},"size":11,"checksum":"{xxh3_128_hexdigest(HELLO)}"}}'


class Cut(httpx2.AsyncByteStream):
    """A body that breaks off, with an error or without."""

    def __init__(self, content: bytes, error: Exception | None) -> None:
        self._content = content
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        if self._error is not None:
            raise self._error


def found(content: bytes, at: int = 0, error: Exception | None = None, told: str = INFO) -> Answer:
    """The value from `at` on, of which `content` comes."""

    async def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {"soundstage-info": told, "etag": '"tag"', "content-length": str(11 - at)}
        if at:
            headers["content-range"] = f"bytes {at}-10/11"
        return httpx2.Response(206 if at else 200, headers=headers, stream=Cut(content, error))

    return answer


class TestAgainstALossyNetwork:
    async def test_what_can_be_read_again_is_sent_again_as_the_same_write(self, meet: Meet) -> None:
        lost = broken(httpx2.ReadError("lost"))
        connection, far = meet(lost, body(REPLY, media_type=JSON))
        await connection.client(KeyValue, "n").put_value(HELLO, id="a", key=b"k")
        first, second = far.requests
        assert first.url == second.url
        assert "idempotency_token=" in str(first.url)
        assert first.method == "PUT"

    async def test_what_cannot_be_read_again_is_sent_once_and_without_a_token(self, meet: Meet) -> None:
        connection, far = meet(broken(httpx2.ReadError("lost")))
        with pytest.raises(Unreachable):
            await connection.client(KeyValue, "n").put_value(iter([HELLO]), id="a", key=b"k")
        assert [str(each.url).partition("?")[2] for each in far.requests] == [""]
        assert far.headers("transfer-encoding") == ["chunked"]

    async def test_a_problem_is_the_error_that_it_tells_of(self, meet: Meet) -> None:
        connection, far = meet(problem(TooLarge("much")))
        with pytest.raises(TooLarge):
            await connection.client(KeyValue, "n").put_value(HELLO, id="a", key=b"k")
        assert len(far.requests) == 1

    @pytest.mark.parametrize("status", [200, 204, 302])
    async def test_what_answers_and_is_no_stage_is_told(self, meet: Meet, status: int) -> None:
        connection, _ = meet(body(b"<html>", status, "text/html"))
        kv = connection.client(KeyValue, "n")
        with pytest.raises(SoundstageError):
            await kv.put_value(HELLO, id="a", key=b"k")
        with pytest.raises(SoundstageError):
            await kv.get_value(id="a", key=b"k").__aenter__()

    @pytest.mark.parametrize("error", [httpx2.ReadError("lost"), None])
    async def test_a_download_goes_on_where_it_broke_off(self, meet: Meet, error: Exception | None) -> None:
        connection, far = meet(found(b"hello", error=error), found(b" wor", 5, error), found(b"ld", 9))
        async with connection.client(KeyValue, "n").get_value(id="a", key=b"k") as value:
            assert await value.read() == HELLO
        assert far.headers("range") == [None, "bytes=5-10", "bytes=9-10"]
        assert far.headers("if-match") == [None, '"tag"', '"tag"']

    async def test_a_download_of_what_is_another_by_now_ends(self, meet: Meet) -> None:
        connection, _ = meet(found(b"hello"), problem(PreconditionFailed("another")))
        async with connection.client(KeyValue, "n").get_value(id="a", key=b"k") as value:
            with pytest.raises(Unavailable, match="replaced"):
                await value.read()

    async def test_a_download_that_breaks_off_again_and_again_is_given_up(self, meet: Meet) -> None:
        connection, far = meet(found(b"hello"), broken(httpx2.ConnectError("down")))
        async with connection.client(KeyValue, "n").get_value(id="a", key=b"k") as value:
            with pytest.raises(Unreachable):
                await value.read()
        assert len(far.requests) == 1 + connection.settings.retry.retries

    async def test_the_last_bytes_of_another_value_do_not_come(self, meet: Meet) -> None:
        connection, _ = meet(found(b"hello", error=httpx2.ReadError("lost")), found(b" w0rld", 5))
        async with connection.client(KeyValue, "n").get_value(id="a", key=b"k") as value:
            parts = value.__aiter__()
            assert await anext(parts) == b"hello"
            with pytest.raises(DataLoss):
                await anext(parts)

    async def test_an_answer_of_other_bytes_than_were_asked_for_is_not_taken(self, meet: Meet) -> None:
        connection, _ = meet(found(b"hello", error=httpx2.ReadError("lost")), found(HELLO))
        async with connection.client(KeyValue, "n").get_value(id="a", key=b"k") as value:
            with pytest.raises(Unreachable, match="no stage"):
                await value.read()

    async def test_an_answer_without_a_length_is_not_an_empty_value(self, meet: Meet) -> None:
        async def shortened(request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, headers={"soundstage-info": INFO}, stream=Cut(HELLO, None))

        connection, _ = meet(shortened)
        with pytest.raises(Unreachable, match="no stage"):
            await connection.client(KeyValue, "n").get_value(id="a", key=b"k").__aenter__()

    async def test_a_write_that_was_read_is_seen_by_the_clock_of_the_client(
        self, meet: Meet, environment: VirtualEnvironment
    ) -> None:
        ahead_us = environment.now_us() + 1_000_000
        connection, _ = meet(found(HELLO, told=INFO.replace(WRITTEN, str(ahead_us * 1_000))))
        async with connection.client(KeyValue, "n").get_value(id="a", key=b"k"):
            assert connection.clock.last_us == ahead_us

    async def test_a_deadline_goes_along(self, meet: Meet) -> None:
        connection, far = meet(body(REPLY, media_type=JSON))
        kv = connection.client(KeyValue, "n").with_options(deadline=1.5, request_id="r", idempotency_key="once")
        await kv.put_value(HELLO, id="a", key=b"k")
        assert far.headers("soundstage-timeout") == ["1500ms"]
        assert (far.headers("x-request-id"), far.headers("idempotency-key")) == (["r"], ["once"])

    async def test_a_deadline_is_for_all_tries_together(self, meet: Meet) -> None:
        connection, far = meet(broken(httpx2.ReadError("lost")), body(REPLY, media_type=JSON))
        await connection.client(KeyValue, "n").with_options(deadline=1.5).put_value(HELLO, id="a", key=b"k")
        first, second = far.headers("soundstage-timeout")
        assert first == "1500ms"
        assert "1440ms" < (second or "") < first

    async def test_as_many_tries_are_made_as_the_caller_says(self, meet: Meet) -> None:
        connection, far = meet(broken(httpx2.ConnectError("down")))
        kv = connection.client(KeyValue, "n").with_options(retries=0)
        with pytest.raises(Unreachable):
            await kv.put_value(HELLO, id="a", key=b"k")
        with pytest.raises(Unreachable):
            await kv.get_value(id="a", key=b"k").__aenter__()
        assert len(far.requests) == 2

    async def test_a_source_that_is_late_is_no_stage_that_is(self, meet: Meet) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield HELLO
            raise TimeoutError("the source")

        async def reading(request: httpx2.Request) -> httpx2.Response:
            await request.aread()
            raise AssertionError("the source has no end")

        connection, _ = meet(reading)
        kv = connection.client(KeyValue, "n").with_options(deadline=10)
        with pytest.raises(TimeoutError, match="the source"):
            await kv.put_value(pieces(), id="a", key=b"k")

    async def test_a_stage_that_says_nothing_is_not_waited_for_longer_than_the_deadline(self, meet: Meet) -> None:
        connection, _ = meet(silent())
        kv = connection.client(KeyValue, "n").with_options(deadline=0.01)
        with pytest.raises(DeadlineExceeded) as raised:
            await kv.put_value(iter([HELLO]), id="a", key=b"k")
        assert raised.value.outcome == "unknown"

    async def test_a_closed_connection_sends_nothing(self, meet: Meet) -> None:
        connection, far = meet(body(REPLY, media_type=JSON))
        kv = connection.client(KeyValue, "n")
        await connection.close()
        with pytest.raises(Unavailable, match="closed"):
            await kv.put_value(HELLO, id="a", key=b"k")
        with pytest.raises(Unavailable, match="closed"):
            await kv.get_value(id="a", key=b"k").__aenter__()
        assert far.requests == []
