"""The knobs of backups."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.runtime.timetable import Cron


class SystemConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[systems.backups]`."""

    folder: Annotated[
        str,
        Meta(
            description="where backups lie; relative to the data folder. Name one on another disk, for a lost disk"
            " takes what lies on it",
            min_length=1,
        ),
    ] = "backups"
    schedule: Annotated[
        str | None,
        Meta(description='when to make a backup by itself: a cron expression, such as "30 3 * * *"; by default never'),
    ] = None
    timezone: Annotated[str, Meta(description="whose clocks `schedule` goes by", min_length=1)] = "UTC"
    keep: Annotated[
        int, Meta(description="how many of the scheduled backups are kept; older ones go", ge=1, le=10_000)
    ] = 7

    def check(self) -> None:
        """Raise `InvalidArgument` for a `schedule` that is none."""
        self.timetable()

    def timetable(self) -> Cron | None:
        """When backups are due, if they are made by themselves. Raises `InvalidArgument` naming the knob."""
        if self.schedule is None:
            return None
        try:
            return Cron(self.schedule, self.timezone)
        except InvalidArgument as error:
            error.field = "timezone" if error.field == "timezone" else "schedule"
            raise
