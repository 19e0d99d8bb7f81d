"""Backups that are made by a timetable: each time a new one, and the oldest of them beyond a number go."""

from __future__ import annotations

import logging

from soundstage.core.environment import Environment
from soundstage.core.errors import NotFound
from soundstage.core.operation import Invoker
from soundstage.core.time import Instant
from soundstage.runtime.backups.api import Backups
from soundstage.runtime.backups.naming import moment

log: logging.Logger = logging.getLogger("soundstage.backups")

PREFIX = "scheduled-"
"""What the names of these backups begin with. No others are ever deleted."""


class Rotation:
    """Makes and deletes by the operations of `backups`, so that whatever is done can be seen among the jobs."""

    def __init__(self, keep: int, invoker: Invoker, environment: Environment) -> None:
        self._keep = keep
        self._backups = Backups(invoker)
        self._environment = environment

    async def turn(self) -> None:
        """There is one more backup, and of those made here no more than `keep`; the older ones went after it was made.

        Raises what kept it from being made, and deletes nothing then.
        """
        name = PREFIX + moment(Instant(self._environment.now_ns()))
        job = await self._backups.create(name=name)
        made = await job.result()
        log.info(
            "a scheduled backup was made", extra={"backup": made.name, "bytes": made.size, "left_out": made.left_out}
        )
        names = [each.name async for page in self._backups.list.pages() for each in page.backups]
        for old in sorted(name for name in names if name.startswith(PREFIX))[: -self._keep]:
            try:
                await self._backups.delete(name=old)
            except NotFound:
                # Somebody else deleted it meanwhile.
                continue
