"""Servers that stand still for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from soundstage.servers.server import Server

PAUSE_S = 10.0
"""Longer than any deadline of the tests that use it, and than what most things wait for a machine that hangs."""


@asynccontextmanager
async def paused(*servers: Server, seconds: float = PAUSE_S) -> AsyncGenerator[None]:
    """Within the block the servers stand still; it lasts so long at least, and then they go on."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + seconds
    for server in servers:
        server.pause()
    try:
        yield
        await asyncio.sleep(ends_s - loop.time())
    finally:
        for server in servers:
            server.resume()
