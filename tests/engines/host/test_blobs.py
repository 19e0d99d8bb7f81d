"""Blobs of another process under the suite that every engine passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.host.hosted import Hosted

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.size import Size
from soundstage.engines.blobs.file import FileBlobs, FileOptions
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.blobs.port import CHUNK_MAX_BYTES, BlobCheckpoints, Expectation
from soundstage.engines.host.frames import WINDOW_BYTES
from soundstage.testing.blobs import BlobsSuite
from soundstage.testing.blobs.calls import content_of, put, read


@pytest.mark.slow
class TestMemory(BlobsSuite):
    under_way_max = WINDOW_BYTES
    goes_on_unheard = True

    @pytest.fixture
    async def blobs(self, environment: VirtualEnvironment, tmp_path: Path) -> AsyncIterator[Hosted]:
        hosted = Hosted(MemoryBlobs(environment), "blobs", tmp_path, environment)
        await hosted.start()
        yield hosted
        await hosted.stop()


@pytest.mark.slow
class TestFile(BlobsSuite):
    under_way_max = WINDOW_BYTES
    goes_on_unheard = True

    @pytest.fixture
    async def blobs(self, environment: VirtualEnvironment, tmp_path: Path) -> AsyncIterator[Hosted]:
        engine = FileBlobs(str(tmp_path / "blobs"), FileOptions(), environment)
        hosted = Hosted(engine, "blobs", tmp_path, environment)
        await hosted.start()
        yield hosted
        await hosted.stop()


@pytest.fixture
async def hosted(tmp_path: Path) -> AsyncIterator[Any]:
    environment = VirtualEnvironment(seed=1)
    hosted = Hosted(MemoryBlobs(environment), "blobs", tmp_path, environment)
    await hosted.start()
    yield hosted
    await hosted.stop()


class Source:
    """Chunks that count how many were taken."""

    def __init__(self, chunk: bytes, count: int) -> None:
        self.taken = 0
        self._chunk = chunk
        self._count = count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._count):
            self.taken += 1
            yield self._chunk


async def test_of_a_put_that_is_refused_no_byte_is_taken(hosted: Any) -> None:
    source = Source(b"x", 5)
    with pytest.raises(InvalidArgument):
        await hosted.put("no key/", source)
    assert source.taken == 0


async def test_a_put_that_turns_out_too_large_is_not_sent_to_its_end(hosted: Any) -> None:
    source = Source(bytes(CHUNK_MAX_BYTES), 1_000)
    with pytest.raises(InvalidArgument):
        await hosted.put("a", source, expect=Expectation(size=1))
    assert source.taken <= WINDOW_BYTES // CHUNK_MAX_BYTES + 2


async def test_what_the_source_raises_comes_back_and_nothing_is_stored(hosted: Any) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield bytes(10)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await hosted.put("a", source())
    assert await hosted.list() == []


async def test_a_put_whose_caller_gives_up_stores_nothing(hosted: Any) -> None:
    waiting = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield bytes(10)
        waiting.set()
        await asyncio.Event().wait()

    putting = asyncio.ensure_future(hosted.put("a", source()))
    await waiting.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await hosted.list() == []


async def test_a_reader_that_does_not_read_is_sent_one_window(hosted: Any) -> None:
    content = content_of(8 * WINDOW_BYTES)
    await put(hosted, "a", content)
    chunks = hosted.open("a")
    first = await anext(chunks)
    (link,) = hosted.server.links
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(link._downloads) == 1
    rest = b"".join([chunk async for chunk in chunks])
    assert first + rest == content


async def test_a_reader_that_stops_early_ends_the_stream_on_the_other_side(hosted: Any) -> None:
    await put(hosted, "a", content_of(8 * WINDOW_BYTES))
    chunks = hosted.open("a")
    await anext(chunks)
    await chunks.aclose()
    (link,) = hosted.server.links
    while link._tasks:  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0)
    assert await read(hosted, "a", 0, 1) == content_of(1)


async def test_streams_go_side_by_side(hosted: Any) -> None:
    contents = [content_of(3 * WINDOW_BYTES + number, number) for number in range(4)]
    await asyncio.gather(*(put(hosted, f"k{number}", content) for number, content in enumerate(contents)))
    assert await asyncio.gather(*(read(hosted, f"k{number}") for number in range(4))) == contents


async def test_a_read_under_way_ends_when_the_owner_goes_away(hosted: Any) -> None:
    await put(hosted, "a", content_of(8 * WINDOW_BYTES))
    chunks = hosted.open("a")
    await anext(chunks)
    await hosted.server.stop()
    with pytest.raises(Unavailable):
        await read_on(chunks)


async def read_on(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


async def test_of_a_put_whose_process_dies_nothing_is_stored(hosted: Any) -> None:
    waiting = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield bytes(10)
        waiting.set()
        await asyncio.Event().wait()

    putting = asyncio.ensure_future(hosted.put("a", source()))
    await waiting.wait()
    (link,) = hosted.server.links
    hosted.host._link._transport.abort()
    while link._tasks:  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0)
    assert await hosted.behind.list() == []
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)


async def test_one_that_can_be_copied_is_copied_by_its_owner(tmp_path: Path) -> None:
    environment = VirtualEnvironment(seed=1)
    hosted: Any = Hosted(
        FileBlobs(str(tmp_path / "blobs"), FileOptions(low_water=Size(0)), environment), "blobs", tmp_path, environment
    )
    await hosted.start()
    await put(hosted, "a", b"content")
    assert isinstance(hosted.host, BlobCheckpoints)
    assert await hosted.host.checkpoint(str(tmp_path / "copy")) == 1
    await hosted.delete("a")
    assert await hosted.host.restore(str(tmp_path / "copy")) == 1
    assert await read(hosted, "a") == b"content"
    await hosted.stop()


async def test_one_without_copies_has_no_such_calls(hosted: Any) -> None:
    assert not isinstance(hosted.host, BlobCheckpoints)
