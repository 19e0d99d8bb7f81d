"""Whether a process still answers. One that was stopped, or whose event loop hangs, does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable

ALIVE = "alive"

ASK_EVERY_S = 5.0

SILENT_MAX = 6
"""Questions in a row without an answer. More than one, so that a machine which stood still as a whole, asked and asking
alike, is not taken for a process that hangs."""


async def falls_silent(
    ask: Callable[[str], Coroutine[Any, Any, bytes]], environment: Environment, heard: Callable[[bool], None]
) -> bool:
    """True once `SILENT_MAX` questions in a row had no answer, false when the other side is gone.

    `heard` is told of each question whether it was answered within `ASK_EVERY_S`.
    """
    silent = 0
    while silent < SILENT_MAX:
        asked = asyncio.ensure_future(ask(ALIVE))
        try:
            # An answer that comes early leaves the rest of the time to wait all the same.
            await environment.sleep(ASK_EVERY_S)
            answered = asked.done()
            if answered:
                asked.result()
        except Unavailable:
            return False
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        silent = 0 if answered else silent + 1
        heard(answered)
    return True
