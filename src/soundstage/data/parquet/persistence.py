"""Puts rows in while a store has no time for them: a job of millions ends by no moment's want of room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Exhausted, Unavailable

TRIES = 8
TRY_AGAIN_S = 0.25

R = TypeVar("R")


async def persistently(environment: Environment, write: Callable[[], Awaitable[R]]) -> R:
    """What `write` returns, which may be done again whatever it did: tried for about half a minute."""
    for trial in range(TRIES - 1):
        try:
            return await write()
        except (Unavailable, DeadlineExceeded, Exhausted) as error:
            if isinstance(error, Exhausted) and not error.retryable:
                raise
            await environment.sleep(TRY_AGAIN_S * 2**trial)
    return await write()
