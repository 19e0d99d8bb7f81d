"""Work done by a fixed number of lanes: bounded, and in order within a lane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

W = TypeVar("W")


async def in_lanes(
    work: Iterable[W], lanes: int, do: Callable[[W], Awaitable[None]], lane_of: Callable[[W], int], ahead: int = 4
) -> None:
    """`do` has been awaited for all of `work`, by `lanes` tasks; those of one `lane_of` one after another.

    A lane takes at most `ahead` pieces before it has done them, so that none runs far ahead of another. The
    first failure ends all and is raised.
    """
    queues: list[asyncio.Queue[W | None]] = [asyncio.Queue(ahead) for _ in range(lanes)]

    async def drive(queue: asyncio.Queue[W | None]) -> None:
        while (piece := await queue.get()) is not None:
            await do(piece)

    async def hand_out() -> None:
        for piece in work:
            await queues[lane_of(piece) % lanes].put(piece)
        for queue in queues:
            await queue.put(None)

    try:
        async with asyncio.TaskGroup() as group:
            for queue in queues:
                group.create_task(drive(queue))
            group.create_task(hand_out())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
