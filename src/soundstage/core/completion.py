"""Work that is done to its end, whatever becomes of who waits for it, such as that of threads on a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def to_the_end(work: Awaitable[T]) -> T:
    """What `work` comes to. Who is cancelled meanwhile leaves when it has ended, and not before."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await ended(running)
        raise


async def ended(running: asyncio.Future[T]) -> None:
    """`running` has ended, however, and however often who waits is cancelled meanwhile."""
    while not running.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([running])
    if not running.cancelled():
        # Who left does not want to hear it; asyncio would complain that nobody did.
        running.exception()
