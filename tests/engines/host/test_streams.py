"""Streams never have more under way than was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.engines.host.frames import WINDOW_BYTES, Broken
from soundstage.engines.host.streams import CHUNK_BYTES, Incoming, Outgoing


async def source(*sizes: int) -> AsyncIterator[bytes]:
    for number, size in enumerate(sizes):
        yield bytes([number % 256]) * size


class Pipe:
    """Both ends, with what is under way between them."""

    def __init__(self) -> None:
        self.under_way_max = 0
        self._under_way = 0
        self.incoming = Incoming(self._grant)
        self.outgoing = Outgoing(self._send)

    def _grant(self, size: int) -> None:
        self.outgoing.credit(size)

    def _send(self, chunk: bytes) -> None:
        self._under_way += len(chunk)
        self.under_way_max = max(self.under_way_max, self._under_way)
        self.incoming.put(chunk)

    async def write(self, *sizes: int) -> None:
        if await self.outgoing.write(source(*sizes)):
            self.incoming.end()

    async def read(self) -> bytes:
        found = bytearray()
        async for chunk in self.incoming.chunks():
            assert len(chunk) <= CHUNK_BYTES
            self._under_way -= len(chunk)
            found += chunk
        return bytes(found)


@given(st.lists(st.sampled_from([0, 1, 1_000, CHUNK_BYTES, CHUNK_BYTES + 1, WINDOW_BYTES + 5]), max_size=6))
def test_what_is_written_is_read_and_no_more_than_a_window_is_under_way(sizes: list[int]) -> None:
    async def run() -> tuple[bytes, int]:
        pipe = Pipe()
        _, found = await asyncio.gather(pipe.write(*sizes), pipe.read())
        return found, pipe.under_way_max

    found, most = asyncio.run(run())
    assert found == b"".join(bytes([number]) * size for number, size in enumerate(sizes))
    assert most <= WINDOW_BYTES


async def test_nothing_is_taken_of_the_source_before_the_reader_asks() -> None:
    pipe = Pipe()
    taken: list[bytes] = []

    async def watched() -> AsyncIterator[bytes]:
        async for chunk in source(1, 1):
            taken.append(chunk)
            yield chunk

    writing = asyncio.ensure_future(pipe.outgoing.write(watched()))
    await asyncio.sleep(0)
    assert taken == []
    pipe.outgoing.close()
    assert await writing is False


async def test_a_writer_stops_when_the_reader_goes_away() -> None:
    pipe = Pipe()
    writing = asyncio.ensure_future(pipe.outgoing.write(source(*[CHUNK_BYTES] * 100)))
    chunks = pipe.incoming.chunks()
    await anext(chunks)
    pipe.outgoing.close()
    assert await writing is False


async def test_a_reader_gets_the_error_that_ended_the_stream_behind_what_came_before_it() -> None:
    pipe = Pipe()
    chunks = pipe.incoming.chunks()
    first = asyncio.ensure_future(anext(chunks))
    await asyncio.sleep(0)
    pipe.incoming.put(b"x")
    pipe.incoming.end(KeyError("why"))
    assert await first == b"x"
    with pytest.raises(KeyError, match="why"):
        await anext(chunks)


async def test_more_than_was_asked_for_is_a_broken_stream() -> None:
    pipe = Pipe()
    with pytest.raises(Broken):
        pipe.incoming.put(b"x")
