"""A reader gets a blob, or a range of it, in bounded chunks."""

from __future__ import annotations

import pytest

from soundstage.core.errors import (
    InvalidArgument,
    NotFound,
)
from soundstage.engines.blobs.port import CHUNK_MAX_BYTES, Blobs
from soundstage.testing.blobs.calls import content_of, put, read


class Reads:
    async def test_readers_get_bounded_chunks(self, blobs: Blobs) -> None:
        await put(blobs, "a", content_of(2 << 20))
        sizes = [len(chunk) async for chunk in blobs.open("a")]
        assert max(sizes) <= CHUNK_MAX_BYTES
        assert min(sizes) > 0

    @pytest.mark.parametrize(
        ("start", "end"),
        [(0, 0), (0, 1), (5, 5), (1_048_575, 1_048_577), (0, 1_048_576), (1_048_576, 2_097_152), (99, 2_500_000)],
    )
    async def test_a_range_is_that_part(self, blobs: Blobs, start: int, end: int) -> None:
        content = content_of(2_500_000)
        await put(blobs, "a", content)
        assert await read(blobs, "a", start, end) == content[start:end]

    async def test_a_range_without_an_end_goes_to_the_end(self, blobs: Blobs) -> None:
        content = content_of(1_500_000)
        await put(blobs, "a", content)
        assert await read(blobs, "a", 1_400_000) == content[1_400_000:]

    @pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2), (0, 6), (6, None), (6, 6)])
    async def test_what_is_no_range_is_refused(self, blobs: Blobs, start: int, end: int | None) -> None:
        await put(blobs, "a", b"12345")
        with pytest.raises(InvalidArgument):
            await read(blobs, "a", start, end)

    async def test_an_unknown_blob_is_not_found(self, blobs: Blobs) -> None:
        with pytest.raises(NotFound):
            await blobs.head("nothing")
        with pytest.raises(NotFound):
            await read(blobs, "nothing")

    async def test_a_reader_reads_on_what_it_began(self, blobs: Blobs) -> None:
        content = content_of(2_000_000)
        await put(blobs, "a", content)
        reading = blobs.open("a")
        first = await anext(reading)
        await put(blobs, "a", b"new")
        await blobs.delete("a")
        assert first + b"".join([chunk async for chunk in reading]) == content
