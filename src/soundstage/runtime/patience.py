"""Waiting for no longer than so long, on the clock of the environment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from soundstage.core.environment import Environment

T = TypeVar("T")


async def within(environment: Environment, seconds: float, doing: Coroutine[Any, Any, T]) -> T | None:
    """What `doing` comes to, or None when it has not after `seconds`: it is cancelled then, and has ended."""
    tasks = asyncio.ensure_future(doing), asyncio.ensure_future(environment.sleep(seconds))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
