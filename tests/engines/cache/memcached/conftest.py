"""What the tests of the engine on real servers share."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.testing.cache.suite import PassTime


@pytest.fixture
def pass_time() -> PassTime:
    """Lets time go by for the suite of the port."""

    # A memcached counts whole seconds, from a moment of its own.
    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds + 1)

    return wait
