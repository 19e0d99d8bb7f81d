"""Calls side by side, of which none is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def together(calls: Iterable[Awaitable[T]]) -> list[T]:
    """What the calls answer, in their order. Raises what the first of them raised, after all have ended."""
    answers: list[T] = []
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer
        answers.append(answer)
    return answers


async def all_or_none(calls: Sequence[Awaitable[T]]) -> list[T]:
    """What the calls answer, in their order. When one fails the others are called off, and have ended as it raises."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.ensure_future(each) for each in calls]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
