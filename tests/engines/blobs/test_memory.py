"""The memory engine is what the suite says, and keeps its quota."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Exhausted
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.blobs.port import Blobs
from soundstage.testing.blobs import BlobsSuite
from soundstage.testing.blobs.calls import keys, put


class TestMemory(BlobsSuite):
    @pytest.fixture
    async def blobs(self, environment: VirtualEnvironment) -> AsyncIterator[Blobs]:
        engine = MemoryBlobs(environment)
        await engine.start()
        yield engine
        await engine.stop()


async def test_more_than_the_quota_is_refused() -> None:
    engine = MemoryBlobs(VirtualEnvironment(), quota=10)
    await engine.start()
    await put(engine, "a", b"123456")
    with pytest.raises(Exhausted):
        await put(engine, "b", b"12345")
    await put(engine, "c", b"1234")
    assert await keys(engine) == ["a", "c"]
