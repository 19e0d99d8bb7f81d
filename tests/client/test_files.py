"""Files over HTTP: against a real server, and against far ends that lose the connection."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.client.conftest import Meet
from tests.client.stand_in import Answer, body, broken, problem

from soundstage.client import Connection, Settings, Unreachable, connect, connect_sync
from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    Exhausted,
    Forbidden,
    InvalidArgument,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from soundstage.core.files import File
from soundstage.core.policy import RetryPolicy
from soundstage.core.time import Duration
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.http.server import Server

HELLO = b"hello world"
SHA256 = sha256(HELLO).hexdigest()
ID = "01a217f9-a4fd-7a4f-b236-aa33a9622cb6"
FILE = File(blob=ID, name="a.txt", media_type="text/plain", size=len(HELLO), sha256=SHA256)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage.open(data="memory:", config={"files": {"size_max": "64MiB"}}) as stage:
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


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def listed(content: bytes) -> list[bytes]:
    return [content]


async def read(connection: Connection, file: File | str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in connection.files.open(file, start, end)])


class Torn(httpx2.AsyncByteStream):
    """A body that breaks off."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        raise httpx2.ReadError("the connection was reset")


def head(file: File = FILE) -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.method == "HEAD"
        headers = {
            "content-type": file.media_type,
            "content-disposition": f"attachment; filename*=UTF-8''{file.name}",
            "content-length": str(file.size),
            "etag": f'"{file.sha256}"',
        }
        return httpx2.Response(200, headers=headers)

    return answer


def bare(status: int) -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status)

    return answer


def torn(content: bytes, status: int = 206) -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, stream=Torn(content))

    return answer


def kept(file: File = FILE) -> Answer:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        fields: Any = {name: getattr(file, name) for name in file.__struct_fields__}
        return httpx2.Response(201, json=fields)

    return answer


class TestOverTheWire:
    async def test_a_path_goes_there_and_back(self, connection: Connection, tmp_path: Path) -> None:
        content = os.urandom(3_000_001)
        (tmp_path / "talk.mp4").write_bytes(content)
        file = await connection.files.upload(tmp_path / "talk.mp4", media_type="video/mp4")
        assert (file.name, file.media_type, file.size) == ("talk.mp4", "video/mp4", len(content))
        assert file.sha256 == sha256(content).hexdigest()
        assert await connection.files.download(file, tmp_path / "copy") == file
        assert (tmp_path / "copy").read_bytes() == content

    async def test_what_is_known_of_a_file_is_what_was_sent(self, connection: Connection) -> None:
        file = await connection.files.upload(HELLO, name="ü b;c.txt", media_type="text/plain")
        assert await connection.files.info(file.blob) == file

    @pytest.mark.parametrize("make", [bytes, io.BytesIO, once, listed])
    async def test_every_source_is_taken(self, connection: Connection, make: Any) -> None:
        assert await read(connection, await connection.files.upload(make(HELLO))) == HELLO

    @pytest.mark.parametrize(("start", "end"), [(0, None), (0, 5), (6, None), (6, 8), (3, 3), (11, 11)])
    async def test_a_range_is_read(self, connection: Connection, start: int, end: int | None) -> None:
        file = await connection.files.upload(HELLO)
        assert await read(connection, file, start, end) == HELLO[start:end]

    @pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 4), (0, 12), (12, None)])
    async def test_what_is_no_range_is_refused(self, connection: Connection, start: int, end: int | None) -> None:
        file = await connection.files.upload(HELLO)
        with pytest.raises(InvalidArgument) as caught:
            await read(connection, file, start, end)
        assert caught.value.field == "range"

    async def test_a_file_without_bytes_is_read(self, connection: Connection, tmp_path: Path) -> None:
        await connection.files.download(await connection.files.upload(b""), tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b""

    async def test_it_is_kept_for_as_long_as_asked(self, connection: Connection, stage: Stage) -> None:
        file = await connection.files.upload(HELLO, ttl=Duration.parse("1h"))
        info = await stage.files.find(file.blob)
        assert abs(info.expires_us - info.created_us - Duration.parse("1h").us) < 10_000_000

    async def test_it_is_deleted_once(self, connection: Connection) -> None:
        file = await connection.files.upload(HELLO)
        assert await connection.files.delete(file)
        assert not await connection.files.delete(file.blob)
        with pytest.raises(NotFound):
            await connection.files.info(file)

    async def test_a_refusal_is_the_one_of_the_stage(self, connection: Connection) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await connection.files.upload(HELLO, name="a/b")
        assert caught.value.field == "name"
        with pytest.raises(InvalidArgument):
            await connection.files.info("../../etc/passwd")

    async def test_too_much_is_refused_while_it_is_sent(self, connection: Connection) -> None:
        async def much() -> AsyncIterator[bytes]:
            for _ in range(200):
                yield bytes(1 << 20)

        with pytest.raises(TooLarge):
            await connection.files.upload(much())

    async def test_a_source_that_fails_is_its_caller_s_own_failure(self, connection: Connection, stage: Stage) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield bytes(3 << 20)
            raise ConnectionError("the cable was pulled")

        for files in (connection.files, stage.files):
            with pytest.raises(ConnectionError, match="the cable was pulled"):
                await files.upload(pieces())

    async def test_synchronous_programs_have_the_same(self, url: str, tmp_path: Path) -> None:
        def program() -> bytes:
            with connect_sync(url) as connection:
                file = connection.files.upload(HELLO, name="a.txt")
                connection.files.download(file, tmp_path)
                return b"".join(connection.files.open(file, 6))

        import asyncio

        assert await asyncio.to_thread(program) == b"world"
        assert (tmp_path / "a.txt").read_bytes() == HELLO

    async def test_in_process_it_is_the_same(self, stage: Stage, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(HELLO)
        file = await stage.files.upload(tmp_path / "a.txt", ttl=Duration.parse("1h"))
        assert await stage.files.info(file.blob) == file
        assert b"".join([chunk async for chunk in stage.files.open(file, 6)]) == b"world"
        await stage.files.download(file, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == HELLO
        assert (await stage.files.delete(file), await stage.files.delete(file)) == (True, False)


class TestLostConnections:
    async def test_a_reading_goes_on_where_it_broke_off(self, meet: Meet) -> None:
        connection, far = meet(head(), torn(b"hello", 200), torn(b" wor"), body(b"ld", 206))
        assert await read(connection, ID) == HELLO
        assert far.headers("range") == [None, "bytes=0-10", "bytes=5-10", "bytes=9-10"]
        assert far.headers("if-range")[1:] == [f'"{SHA256}"'] * 3

    async def test_a_reading_that_ends_early_goes_on(self, meet: Meet) -> None:
        connection, _ = meet(head(), body(b"hello"), body(b" world", 206))
        assert await read(connection, ID) == HELLO

    async def test_tries_are_counted_anew_after_each_chunk(self, meet: Meet) -> None:
        connection, _ = meet(
            head(), *(torn(bytes([byte])) for byte in HELLO), settings=Settings(retry=RetryPolicy(retries=1))
        )
        assert await read(connection, ID) == HELLO

    async def test_tries_come_to_an_end(self, meet: Meet) -> None:
        connection, far = meet(head(), broken(httpx2.ConnectError("refused")))
        with pytest.raises(Unreachable):
            await read(connection, ID)
        assert len(far.requests) == 1 + 1 + RetryPolicy().retries

    async def test_another_file_under_the_id_is_told(self, meet: Meet) -> None:
        connection, _ = meet(head(), torn(b"hello"), body(b"something else", 200))
        with pytest.raises(DataLoss, match="another one by now"):
            await read(connection, ID)

    async def test_bytes_that_are_not_those_that_were_sent_are_told(self, meet: Meet) -> None:
        connection, _ = meet(head(), body(b"hello_world"))
        with pytest.raises(DataLoss, match="not what was sent"):
            await read(connection, ID)

    async def test_the_last_of_other_bytes_do_not_come(self, meet: Meet) -> None:
        connection, _ = meet(head(), torn(b"hello", 200), body(b"_world", 206))
        parts = connection.files.open(ID)
        assert await anext(parts) == b"hello"
        with pytest.raises(DataLoss):
            await anext(parts)

    async def test_what_can_be_read_twice_is_sent_again(self, meet: Meet) -> None:
        connection, far = meet(broken(httpx2.ReadError("reset")), kept())
        assert await connection.files.upload(HELLO) == FILE
        assert far.requests[0].url == far.requests[1].url

    async def test_what_cannot_is_not(self, meet: Meet) -> None:
        connection, far = meet(broken(httpx2.ReadError("reset")), kept())
        with pytest.raises(Unreachable) as caught:
            await connection.files.upload(once(HELLO))
        assert len(far.requests) == 1
        assert caught.value.outcome == "unknown"

    async def test_a_try_whose_answer_was_lost_counts(self, meet: Meet) -> None:
        connection, _ = meet(broken(httpx2.ReadError("reset")), problem(AlreadyExists("it exists")), head())
        file = await connection.files.upload(HELLO)
        assert (file.name, file.sha256) == ("a.txt", SHA256)

    async def test_other_bytes_than_were_sent_are_told(self, meet: Meet) -> None:
        connection, _ = meet(kept())
        with pytest.raises(DataLoss, match="other bytes"):
            await connection.files.upload(b"hello there")

    async def test_a_deletion_whose_answer_was_lost_counts(self, meet: Meet) -> None:
        connection, _ = meet(broken(httpx2.ReadError("reset")), problem(NotFound("it is gone")))
        assert await connection.files.delete(ID)

    async def test_a_stage_that_is_down_for_a_moment_is_waited_for(self, meet: Meet) -> None:
        connection, _ = meet(problem(Unavailable("starting", retryable=True)), problem(Exhausted("busy")), kept())
        assert await connection.files.upload(HELLO) == FILE

    @pytest.mark.parametrize(
        ("status", "error"), [(400, InvalidArgument), (401, Unauthenticated), (403, Forbidden), (404, NotFound)]
    )
    async def test_a_refusal_without_a_body_is_known_by_its_status(
        self, meet: Meet, status: int, error: type[Exception]
    ) -> None:
        connection, _ = meet(bare(status))
        with pytest.raises(error, match=ID):
            await connection.files.info(ID)

    async def test_an_answer_that_is_none_of_a_stage_is_told(self, meet: Meet) -> None:
        connection, _ = meet(body(b"<html>", 200, "text/html"))
        with pytest.raises(Unreachable, match="no stage"):
            await connection.files.upload(HELLO)

    async def test_a_closed_connection_sends_nothing(self, meet: Meet) -> None:
        connection, far = meet(head())
        await connection.close()
        with pytest.raises(RuntimeError, match="closed"):
            await connection.files.info(ID)
        assert far.requests == []
