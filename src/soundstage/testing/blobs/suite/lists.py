"""Blobs are listed, counted and deleted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from soundstage.core.errors import (
    InvalidArgument,
    NotFound,
)
from soundstage.engines.blobs.port import Blobs
from soundstage.testing.blobs.calls import keys, put, read


class Lists:
    async def test_a_deleted_blob_is_gone(self, blobs: Blobs) -> None:
        await put(blobs, "a")
        assert (await blobs.delete("a"), await blobs.delete("a"), await keys(blobs)) == (True, False, [])
        with pytest.raises(NotFound):
            await blobs.head("a")
        assert (await blobs.usage()) == (0, 0)

    async def test_a_deleted_blob_can_be_put_again(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"first")
        await blobs.delete("a")
        await put(blobs, "a", b"second", absent=True)
        assert await read(blobs, "a") == b"second"

    async def test_blobs_are_listed_in_byte_order(self, blobs: Blobs) -> None:
        named = ["b", "a", "a/b", "a-b", "A", "a/a", "_", "a.b", "9"]
        for key in named:
            await put(blobs, key)
        assert await keys(blobs) == sorted(named)

    @pytest.mark.parametrize(
        ("prefix", "after", "limit", "found"),
        [
            ("a/", "", 10, ["a/1", "a/2", "a/3"]),
            ("a/", "a/1", 10, ["a/2", "a/3"]),
            ("a/", "a/1", 1, ["a/2"]),
            ("", "a/2", 10, ["a/3", "b"]),
            ("a/", "b", 10, []),
            ("c", "", 10, []),
            ("b", "a", 10, ["b"]),
        ],
    )
    async def test_a_list_has_its_prefix_and_goes_on_after(
        self, blobs: Blobs, prefix: str, after: str, limit: int, found: Sequence[str]
    ) -> None:
        for key in ("a/1", "a/2", "a/3", "b"):
            await put(blobs, key)
        assert await keys(blobs, prefix, after, limit) == found

    @pytest.mark.parametrize("limit", [0, -1, 1_001])
    async def test_a_list_is_bounded(self, blobs: Blobs, limit: int) -> None:
        with pytest.raises(InvalidArgument):
            await blobs.list("", "", limit)

    async def test_usage_counts_blobs_and_bytes(self, blobs: Blobs) -> None:
        await put(blobs, "a", b"12345")
        await put(blobs, "b", b"123")
        await blobs.delete("a")
        assert await blobs.usage() == (1, 3)
