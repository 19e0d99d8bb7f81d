"""Calls to servers that are ill-treated: until when they may go on, and how those end that must fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from soundstage.core.errors import SoundstageError

WAIT_S = 240.0
"""For what takes some seconds, or much longer on a machine that is busy."""


def within(seconds: float) -> int:
    """The deadline that is so far off."""
    return time.monotonic_ns() + round(seconds * 1e9)


async def refused(call: Awaitable[object]) -> SoundstageError:
    """What a call ends with, which must fail, and not for ever."""
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(SoundstageError) as error:
            await call
    return error.value
