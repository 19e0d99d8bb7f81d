"""Finds the topics of namespaces that were deleted, and drops them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection

from soundstage.core.errors import SoundstageError
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.roles import RoleContext

Drop = Callable[[Collection[int], Collection[str]], Awaitable[set[str]]]
"""Drops suspects that are of no namespace of given generations; returns all topics that are of none."""


async def drop_left(
    context: RoleContext, abstraction: str, drop: Drop, suspects: set[str], log: logging.Logger
) -> set[str]:
    """Topics of namespaces that were deleted are gone: those that were `suspects` in the round before already.

    Once is not enough to be sure: a namespace that was just made elsewhere may not be known here. Returns those that
    are suspects now. Nothing is dropped in a round in which a log cannot be asked.
    """
    try:
        pages = Namespaces(context.invoker).list.pages(abstraction=abstraction)
        generations = {each.generation async for page in pages for each in page.namespaces}
        return await drop(generations, suspects)
    except SoundstageError as error:
        log.warning("feeds of deleted namespaces could not be looked for", extra={"reason": str(error)})
        return set()
