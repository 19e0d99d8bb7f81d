"""The role that makes backups by the timetable of the stage file."""

from __future__ import annotations

import asyncio

from soundstage.runtime.backups.rotation import Rotation
from soundstage.runtime.backups.service import BackupsService
from soundstage.runtime.roles import Role, RoleContext
from soundstage.runtime.schedule import Timed


async def _follow(context: RoleContext) -> None:
    service = context.service
    assert isinstance(service, BackupsService)
    if service.timetable is None:
        # A role that ends is begun again.
        await asyncio.Event().wait()
        return
    rotation = Rotation(service.keep, context.invoker, context.environment)
    await service.schedule.follow(Timed("backups", service.timetable, rotation.turn))


ROLES: list[Role] = [Role(name="backups", run=_follow)]
