"""What was answered outlives the engine, which refuses everything when it is stopped."""

from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    SoundstageError,
    Unavailable,
)
from soundstage.engines.blobs.port import Blobs
from soundstage.testing.blobs.calls import content_of, put, read


class Lifecycle:
    async def test_what_was_answered_is_there_after_a_restart(
        self, blobs: Blobs, environment: VirtualEnvironment
    ) -> None:
        content = content_of(1_300_000)
        await put(blobs, "a", content)
        await put(blobs, "b", b"old")
        await put(blobs, "b", b"new", expires_us=environment.now_us() + 5_000_000)
        await put(blobs, "c")
        await blobs.delete("c")
        before = await blobs.list()
        await blobs.stop()
        await blobs.start()
        assert (await blobs.list(), await read(blobs, "a"), await read(blobs, "b")) == (before, content, b"new")
        assert await blobs.usage() == (2, 1_300_003)

    async def test_a_stopped_engine_is_unavailable(self, blobs: Blobs) -> None:
        await put(blobs, "a")
        await blobs.stop()
        attempts = [put(blobs, "b"), blobs.head("a"), read(blobs, "a"), blobs.delete("a"), blobs.list(), blobs.sweep(1)]
        for attempt in attempts:
            with pytest.raises(Unavailable):
                await attempt

    async def test_stopping_twice_changes_nothing(self, blobs: Blobs) -> None:
        await blobs.stop()
        await blobs.stop()

    async def test_a_reader_of_a_stopped_engine_is_told(self, blobs: Blobs) -> None:
        await put(blobs, "a", content_of(2_000_000))
        reading = blobs.open("a")
        await anext(reading)
        await blobs.stop()
        with pytest.raises(SoundstageError):
            async for _ in reading:
                pass
