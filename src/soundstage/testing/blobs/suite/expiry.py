"""A blob is gone to the microsecond when it expires, and its space with the next sweep."""

from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    InvalidArgument,
    NotFound,
)
from soundstage.engines.blobs.port import Blobs
from soundstage.testing.blobs.calls import keys, put, read


class Expiry:
    async def test_a_blob_expires_to_the_microsecond(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        await put(blobs, "a", expires_us=environment.now_us() + 1_000_000)
        environment.advance(0.999999)
        assert await keys(blobs) == ["a"]
        environment.advance(0.000001)
        assert await keys(blobs) == []
        with pytest.raises(NotFound):
            await read(blobs, "a")

    async def test_an_expired_blob_is_no_obstacle(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        await put(blobs, "a", b"old", expires_us=environment.now_us() + 1)
        environment.advance(1)
        await put(blobs, "a", b"new", absent=True)
        assert await read(blobs, "a") == b"new"

    async def test_an_expiry_that_has_passed_is_refused(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        with pytest.raises(InvalidArgument):
            await put(blobs, "a", expires_us=environment.now_us())

    async def test_sweeping_frees_what_expired(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        for number in range(5):
            await put(blobs, f"k{number}", expires_us=environment.now_us() + 1 + number)
        await put(blobs, "kept")
        environment.advance(1)
        assert [await blobs.sweep(3), await blobs.sweep(3), await blobs.sweep(3)] == [3, 2, 0]
        assert (await keys(blobs), await blobs.usage()) == (["kept"], (1, 1))

    async def test_a_replaced_expiry_counts_no_more(self, blobs: Blobs, environment: VirtualEnvironment) -> None:
        await put(blobs, "a", expires_us=environment.now_us() + 1)
        await put(blobs, "a", b"lasting")
        environment.advance(1)
        assert (await blobs.sweep(10), await read(blobs, "a")) == (0, b"lasting")
