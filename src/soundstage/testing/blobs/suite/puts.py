"""A put stores what it was given, whole, under its key."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from soundstage.core.errors import (
    InvalidArgument,
)
from soundstage.engines.blobs.port import CHUNK_MAX_BYTES, KEY_MAX_CHARS, Blobs
from soundstage.testing.blobs.calls import content_of, in_chunks, keys, put, read

SIZES = (0, 1, CHUNK_MAX_BYTES - 1, CHUNK_MAX_BYTES, CHUNK_MAX_BYTES + 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 17)

WRONG_KEYS = ("", "/a", "a/", "a//b", ".", "..", "a/../b", ".a", "a/.b", "a b", "ä", "a\0", "a" * (KEY_MAX_CHARS + 1))


class Puts:
    @pytest.mark.parametrize("size", SIZES)
    async def test_what_was_put_is_read(self, blobs: Blobs, size: int) -> None:
        content = content_of(size)
        await put(blobs, "a/b", content)
        assert await read(blobs, "a/b") == content

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_put_tells_size_and_sha256(self, blobs: Blobs, size: int) -> None:
        content = content_of(size)
        info = await put(blobs, "a", content)
        assert (info.key, info.size, info.sha256) == ("a", size, hashlib.sha256(content).hexdigest())
        assert await blobs.head("a") == info

    async def test_chunks_of_any_size_make_the_same_blob(self, blobs: Blobs) -> None:
        content = content_of(300_000)
        infos = [await blobs.put(f"k{size}", in_chunks(content, size)) for size in (7_001, 65_536, 400_000)]
        assert len({(info.size, info.sha256) for info in infos}) == 1

    async def test_empty_chunks_add_nothing(self, blobs: Blobs) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for chunk in (b"", b"a", b"", b"b", b""):
                yield chunk

        await blobs.put("a", chunks())
        assert await read(blobs, "a") == b"ab"

    @pytest.mark.parametrize("key", WRONG_KEYS)
    async def test_what_is_no_key_is_refused(self, blobs: Blobs, key: str) -> None:
        for attempt in (put(blobs, key), blobs.head(key), read(blobs, key), blobs.delete(key)):
            with pytest.raises(InvalidArgument):
                await attempt

    @pytest.mark.parametrize("key", ["a", "A/b_c-d.e/9", "a" * KEY_MAX_CHARS, "a/b" * 100, "x..y", "-", "_/_"])
    async def test_what_is_a_key_is_one(self, blobs: Blobs, key: str) -> None:
        await put(blobs, key, key.encode())
        assert (await read(blobs, key), await keys(blobs)) == (key.encode(), [key])

    async def test_a_key_may_begin_another(self, blobs: Blobs) -> None:
        for key in ("a", "a/b", "a/b/c", "ab"):
            await put(blobs, key, key.encode())
        assert [await read(blobs, key) for key in ("a", "a/b", "a/b/c", "ab")] == [b"a", b"a/b", b"a/b/c", b"ab"]

    async def test_a_put_replaces(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"old and longer")
        await put(blobs, "a", b"new")
        assert (await read(blobs, "a"), await keys(blobs), (await blobs.usage()).bytes) == (b"new", ["a"], 3)
