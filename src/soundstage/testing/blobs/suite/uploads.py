"""An upload that does not come to its end leaves what was there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from soundstage.engines.blobs.port import Blobs
from soundstage.testing.blobs.calls import content_of, keys, put, read


class Uploads:
    async def test_an_upload_that_breaks_off_leaves_what_was_there(self, blobs: Blobs) -> None:
        async def breaking() -> AsyncIterator[bytes]:
            yield content_of(1_200_000)
            raise ConnectionResetError("gone")

        await put(blobs, "a", b"before")
        with pytest.raises(ConnectionResetError):
            await blobs.put("a", breaking())
        assert (await read(blobs, "a"), (await blobs.usage()).bytes) == (b"before", 6)

    async def test_an_upload_that_is_cancelled_leaves_nothing(self, blobs: Blobs) -> None:
        sent = asyncio.Event()

        async def waiting() -> AsyncGenerator[bytes]:
            yield content_of(1_200_000)
            sent.set()
            await asyncio.Event().wait()

        upload = asyncio.ensure_future(blobs.put("a", waiting()))
        await sent.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert (await keys(blobs), (await blobs.usage()).bytes) == ([], 0)

    async def test_a_blob_is_not_there_before_it_is_whole(self, blobs: Blobs) -> None:
        seen: list[list[str]] = []

        async def looking() -> AsyncIterator[bytes]:
            yield content_of(1_200_000)
            seen.append(await keys(blobs))
            yield b"end"

        await blobs.put("a", looking())
        assert (seen, await keys(blobs)) == ([[]], ["a"])
