"""Uploads and downloads as their declarations make them, for both faces."""

# pyright: reportReturnType=false
from __future__ import annotations

import io
import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soundstage.core.call import CallOptions
from soundstage.core.errors import InvalidArgument
from soundstage.core.loop_thread import LoopThread
from soundstage.core.operation import AsyncFace, SyncFace, operations_of
from soundstage.core.streaming import (
    Body,
    Content,
    DownloadOperation,
    Reading,
    SyncReading,
    UploadOperation,
    chosen_range,
    download,
    upload,
)


class Put(msgspec.Struct, kw_only=True):
    namespace: str = ""
    name: str


class Get(msgspec.Struct, kw_only=True):
    namespace: str = ""
    name: str
    start: int = 0
    end: int | None = None


class Info(msgspec.Struct):
    checksum: str = ""


class BoxCalls:
    system = "box"

    @upload(Put, place="thing/{namespace}/{name}", access="write", idempotent=True)
    def put(self) -> Info:
        """It is in the box."""

    @download(Get, place="thing/{namespace}/{name}", access="read")
    def get(self) -> Info:
        """What is in the box."""


class Box(AsyncFace, BoxCalls):
    """Asynchronous."""


class SyncBox(SyncFace, BoxCalls):
    """Synchronous."""


async def pieces(content: bytes) -> AsyncGenerator[bytes]:
    for at in range(0, len(content), 3):
        yield content[at : at + 3]


class Shelf:
    """Keeps what is sent, and remembers whether what was opened is closed."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.open = 0

    async def upload(self, operation: Any, request: Any, source: Any, options: CallOptions) -> Any:
        self.kept[f"{request.namespace}/{request.name}"] = source
        return Info("1")

    @asynccontextmanager
    async def download(self, operation: Any, request: Any, options: CallOptions) -> AsyncGenerator[Content[Any]]:
        content = self.kept[f"{request.namespace}/{request.name}"]
        self.open += 1
        try:
            yield Content(Info("2"), len(content), lambda start, end: pieces(content[start:end]))
        finally:
            self.open -= 1

    def invoke(self, operation: Any, request: Any, options: CallOptions) -> Coroutine[Any, Any, Any]:
        raise NotImplementedError

    def follow(self, operation: Any, request: Any, options: CallOptions) -> AsyncGenerator[Any]:
        raise NotImplementedError

    def start_job(self, operation: Any, request: Any, options: CallOptions) -> Coroutine[Any, Any, Any]:
        raise NotImplementedError


class SyncShelf:
    """The same in a thread."""

    def __init__(self, shelf: Shelf, thread: LoopThread) -> None:
        self._shelf = shelf
        self._thread = thread

    def upload_sync(self, operation: Any, request: Any, source: Any, options: CallOptions) -> Any:
        return self._thread.run(self._shelf.upload(operation, request, source, options))

    def download_sync(self, operation: Any, request: Any, options: CallOptions) -> Any:
        opening = self._shelf.download(operation, request, options)
        return SyncReading(Reading(opening, request.start, request.end), self._thread.run, self._thread.iterate)

    def invoke_sync(self, operation: Any, request: Any, options: CallOptions) -> Any:
        raise NotImplementedError

    def follow_sync(self, operation: Any, request: Any, options: CallOptions) -> Any:
        raise NotImplementedError

    def start_job_sync(self, operation: Any, request: Any, options: CallOptions) -> Any:
        raise NotImplementedError


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def box(shelf: Shelf) -> Box:
    return Box(shelf, "attic")


class TestDeclarations:
    def test_they_are_operations_of_their_kinds(self) -> None:
        put, get = BoxCalls.put, BoxCalls.get
        assert isinstance(put, UploadOperation)
        assert isinstance(get, DownloadOperation)
        assert (put.kind, put.method, get.kind, get.method) == ("upload", "PUT", "download", "GET")
        assert put.path == get.path == "/v1/box/thing/{namespace}/{name}"
        assert (put.prefix, put.placed) == ("/v1/box/thing/", ("namespace", "name"))
        assert list(operations_of(BoxCalls)) == ["put", "get"]
        assert (put.reply, put.doc, put.namespaced) == (Info, "It is in the box.", True)

    @pytest.mark.parametrize("place", ["thing", "thing/{nothing}"])
    def test_a_place_names_fields_of_the_request(self, place: str) -> None:
        with pytest.raises(TypeError, match="Put has not the fields"):
            upload(Put, place=place, access="write")(lambda self: Info())

    def test_the_request_of_a_download_has_a_range(self) -> None:
        with pytest.raises(TypeError, match="needs `start"):
            download(Put, place="thing/{name}", access="read")(lambda self: Info())


class TestFaces:
    async def test_what_is_sent_goes_with_the_request_of_the_namespace(self, box: Box, shelf: Shelf) -> None:
        assert await box.put(b"hello", name="hat") == Info("1")
        assert shelf.kept == {"attic/hat": b"hello"}

    async def test_a_download_is_read_in_parts_within_its_block(self, box: Box, shelf: Shelf) -> None:
        shelf.kept["attic/hat"] = b"hello world"
        async with box.get(name="hat") as reading:
            assert (reading.info, reading.size, shelf.open) == (Info("2"), 11, 1)
            assert [part async for part in reading] == [b"hel", b"lo ", b"wor", b"ld"]
            assert await reading.read() == b"hello world"
        assert shelf.open == 0

    async def test_a_range_is_all_that_comes(self, box: Box, shelf: Shelf) -> None:
        shelf.kept["attic/hat"] = b"hello world"
        async with box.get(name="hat", start=-5) as reading:
            assert (await reading.read(), reading.size) == (b"world", 11)

    async def test_a_range_that_is_none_closes_what_was_opened(self, box: Box, shelf: Shelf) -> None:
        shelf.kept["attic/hat"] = b"hello"
        with pytest.raises(InvalidArgument):
            await box.get(name="hat", start=6).__aenter__()
        assert shelf.open == 0

    async def test_nothing_is_read_outside_of_the_block(self, box: Box, shelf: Shelf) -> None:
        shelf.kept["attic/hat"] = b"hello"
        reading = box.get(name="hat")
        with pytest.raises(InvalidArgument, match="not open"):
            await reading.read()
        async with reading:
            pass
        with pytest.raises(InvalidArgument, match="not open"):
            _ = reading.info

    async def test_it_is_saved_to_a_path_or_a_stream(self, box: Box, shelf: Shelf, tmp_path: Path) -> None:
        shelf.kept["attic/hat"] = b"hello world"
        stream = io.BytesIO()
        async with box.get(name="hat", end=5) as reading:
            await reading.save(tmp_path / "hat")
            await reading.save(stream)
        assert ((tmp_path / "hat").read_bytes(), stream.getvalue()) == (b"hello", b"hello")
        assert os.listdir(tmp_path) == ["hat"]

    async def test_a_path_that_cannot_be_written_is_told(self, box: Box, shelf: Shelf, tmp_path: Path) -> None:
        shelf.kept["attic/hat"] = b"hello"
        async with box.get(name="hat") as reading:
            with pytest.raises(InvalidArgument, match="cannot be used"):
                await reading.save(tmp_path / "nowhere" / "hat")

    def test_the_synchronous_face_does_the_same(self, shelf: Shelf, tmp_path: Path) -> None:
        thread = LoopThread("box")
        try:
            box = SyncBox(SyncShelf(shelf, thread), "attic")
            assert box.put(b"hello world", name="hat") == Info("1")
            with box.get(name="hat", start=6) as reading:
                assert (reading.info, reading.size) == (Info("2"), 11)
                assert list(reading) == [b"wor", b"ld"]
                assert reading.read() == b"world"
                reading.save(tmp_path / "hat")
            assert (tmp_path / "hat").read_bytes() == b"world"
            assert shelf.open == 0
        finally:
            thread.close()


@pytest.mark.parametrize(
    ("start", "end", "chosen"),
    [
        (0, None, (0, 10)),
        (3, 5, (3, 5)),
        (3, 100, (3, 10)),
        (10, None, (10, 10)),
        (-3, None, (7, 10)),
        (-100, None, (0, 10)),
        (4, 4, (4, 4)),
    ],
)
def test_a_range_is_cut_to_what_there_is(start: int, end: int | None, chosen: tuple[int, int]) -> None:
    assert chosen_range(10, start, end) == chosen


@pytest.mark.parametrize(("start", "end"), [(11, None), (5, 4), (11, 12), (0, -1)])
def test_what_is_no_range_is_refused(start: int, end: int | None) -> None:
    with pytest.raises(InvalidArgument):
        chosen_range(10, start, end)


@pytest.mark.parametrize("size", [None, 11])
async def test_a_body_is_what_was_sent(size: int | None) -> None:
    body = Body(pieces(b"hello world"), size)
    assert not body.begun
    assert b"".join([part async for part in body.parts()]) == b"hello world"
    assert body.begun


@pytest.mark.parametrize(("size", "told"), [(12, "11 came"), (10, "more came")])
async def test_a_body_of_another_length_is_refused(size: int, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        [part async for part in Body(pieces(b"hello world"), size).parts()]
