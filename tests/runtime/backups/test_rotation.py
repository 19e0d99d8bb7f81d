"""Backups by a timetable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.backups.test_service import made, open_stage

from soundstage.core.call import CallOptions
from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.core.operation import Operation
from soundstage.core.time import Duration
from soundstage.runtime.backups import Backups
from soundstage.runtime.backups.roles import ROLES
from soundstage.runtime.backups.rotation import PREFIX, Rotation
from soundstage.runtime.backups.service import BackupsService
from soundstage.runtime.roles import RoleContext
from soundstage.runtime.stage import Stage
from soundstage.runtime.timetable import Every


class Clock(SystemEnvironment):
    """The system's, but that a day passes from one moment asked for to the next."""

    def __init__(self) -> None:
        super().__init__()
        self._days: Iterator[int] = iter(range(1, 100))

    def now_ns(self) -> int:
        return next(self._days) * 86_400 * 10**9


class Noticing:
    """Carries calls to a stage, and notices that backups are listed, which a turn does once it has made one."""

    def __init__(self, stage: Stage) -> None:
        self.listed = asyncio.Event()
        self.follow = stage.follow
        self.start_job = stage.start_job
        self.upload = stage.upload
        self.download = stage.download
        self._stage = stage

    async def invoke(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        if operation.name == "list":
            self.listed.set()
        return await self._stage.invoke(operation, request, options)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path / "data") as stage:
        yield stage


async def names(stage: Stage) -> list[str]:
    return [each.name for each in (await stage.client(Backups).list()).backups]


def rotation(stage: Stage, keep: int, environment: Environment | None = None) -> Rotation:
    return Rotation(keep, stage, environment or Clock())


async def test_each_turn_makes_a_backup_called_after_its_moment(stage: Stage) -> None:
    await rotation(stage, keep=2).turn()
    assert await names(stage) == [f"{PREFIX}1970-01-02T00-00-00.000Z"]


async def test_the_oldest_beyond_the_number_go(stage: Stage) -> None:
    turning = rotation(stage, keep=2)
    for _ in range(4):
        await turning.turn()
    assert await names(stage) == [f"{PREFIX}1970-01-0{day}T00-00-00.000Z" for day in (4, 5)]


async def test_backups_that_were_asked_for_stay(stage: Stage) -> None:
    for name in ("first", "zuletzt"):
        await made(stage.client(Backups), name)
    turning = rotation(stage, keep=1)
    for _ in range(2):
        await turning.turn()
    assert await names(stage) == ["first", f"{PREFIX}1970-01-03T00-00-00.000Z", "zuletzt"]


async def test_nothing_goes_where_none_could_be_made(stage: Stage) -> None:
    await rotation(stage, keep=1).turn()
    with pytest.raises(SoundstageError):
        # Its clock begins anew, so that it asks for a name that is taken.
        await rotation(stage, keep=1).turn()
    assert await names(stage) == [f"{PREFIX}1970-01-02T00-00-00.000Z"]


async def test_the_role_makes_backups_when_they_are_due(stage: Stage) -> None:
    service = await stage.systems.started("backups")
    assert isinstance(service, BackupsService)
    service.timetable = Every(Duration.parse("1s"))
    noticing = Noticing(stage)
    context = RoleContext(environment=SystemEnvironment(), invoker=noticing, service=service)
    playing = asyncio.ensure_future(ROLES[0].run(context))
    async with asyncio.timeout(60):
        await noticing.listed.wait()
    assert all(name.startswith(PREFIX) for name in await names(stage))
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)


async def test_the_role_waits_where_nothing_is_scheduled(stage: Stage) -> None:
    service = await stage.systems.started("backups")
    context = RoleContext(environment=SystemEnvironment(), invoker=stage, service=service)
    playing = asyncio.ensure_future(ROLES[0].run(context))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not playing.done()
    playing.cancel()


async def test_a_stage_does_not_start_with_such_a_schedule(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cron expression") as refused:
        async with open_stage(tmp_path / "data", systems={"backups": {"schedule": "soon"}}):
            pass
    assert refused.value.field == "systems.backups.schedule"
