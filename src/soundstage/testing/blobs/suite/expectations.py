"""A put that is not as was expected stores nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from soundstage.core.errors import (
    AlreadyExists,
    Exhausted,
    InvalidArgument,
    TooLarge,
)
from soundstage.engines.blobs.port import BlobInfo, Blobs, Expectation
from soundstage.testing.blobs.calls import content_of, keys, put, read


class Expectations:
    under_way_max: ClassVar[int] = 0
    """See `BlobsSuite`."""

    async def test_where_none_may_be_none_is_replaced(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"first", absent=True)
        with pytest.raises(AlreadyExists):
            await put(blobs, "a", b"second", absent=True)
        assert await read(blobs, "a") == b"first"

    async def test_of_two_at_once_where_none_may_be_one_wins(self, blobs: Blobs) -> None:
        made = await asyncio.gather(
            *(put(blobs, "a", b"%d" % n, absent=True) for n in range(5)), return_exceptions=True
        )
        won = [info for info in made if isinstance(info, BlobInfo)]
        assert (len(won), sum(isinstance(each, AlreadyExists) for each in made)) == (1, 4)
        assert hashlib.sha256(await read(blobs, "a")).hexdigest() == won[0].sha256

    async def test_of_many_at_once_one_is_there_whole(self, blobs: Blobs) -> None:
        contents = [content_of(300_000, seed) for seed in range(6)]
        await asyncio.gather(*(put(blobs, "a", content) for content in contents))
        assert await read(blobs, "a") in contents
        assert (await blobs.usage()).blobs == 1

    @pytest.mark.parametrize("announced", [4, 6])
    async def test_another_size_than_announced_stores_nothing(self, blobs: Blobs, announced: int) -> None:
        with pytest.raises(InvalidArgument):
            await put(blobs, "a", b"12345", size=announced)
        assert await keys(blobs) == []

    async def test_another_sha256_than_announced_stores_nothing(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"before")
        with pytest.raises(InvalidArgument):
            await put(blobs, "a", b"12345", sha256=hashlib.sha256(b"1234").hexdigest())
        assert await read(blobs, "a") == b"before"

    async def test_as_announced_it_is_stored(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"12345", size=5, sha256=hashlib.sha256(b"12345").hexdigest().upper())
        assert await read(blobs, "a") == b"12345"

    async def test_more_than_is_taken_is_too_large(self, blobs: Blobs) -> None:
        with pytest.raises(TooLarge):
            await put(blobs, "a", content_of(200_000), max_bytes=199_999)
        await put(blobs, "b", content_of(200_000), max_bytes=200_000)
        assert await keys(blobs) == ["b"]

    async def test_more_than_is_taken_is_refused_before_all_has_come(self, blobs: Blobs) -> None:
        asked = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal asked
            while True:
                asked += 1
                yield b"x" * 1_000

        with pytest.raises(TooLarge):
            await blobs.put("a", endless(), expect=Expectation(max_bytes=10_000))
        assert 11 <= asked <= 11 + self.under_way_max // 1_000

    async def test_all_blobs_together_have_no_more_than_is_expected_of_them(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"123")
        with pytest.raises(Exhausted):
            await put(blobs, "b", b"1234", most_in_all=6)
        await put(blobs, "c", b"123", most_in_all=6)
        assert await keys(blobs) == ["a", "c"]
