from __future__ import annotations

import asyncio
import logging

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.runtime.background import FAILURES_TO_TELL, PAUSE_MAX_S, Background, Round


class Work:
    """Fails as often as told, then says how long to rest."""

    def __init__(self, *failures: Exception, rest: float | None = None) -> None:
        self.failures = list(failures)
        self.rest = rest
        self.done = 0

    async def __call__(self) -> float | None:
        if self.failures:
            raise self.failures.pop(0)
        self.done += 1
        return self.rest


def down() -> Unavailable:
    return Unavailable("down")


@pytest.mark.parametrize(("rest", "pause"), [(None, 5.0), (0.0, 0.0), (2.5, 2.5)])
async def test_a_round_tells_when_the_next_is_due(rest: float | None, pause: float) -> None:
    assert await Round("r", 5.0, Work(rest=rest)).once() == pause


async def test_failures_slow_it_down_up_to_a_bound() -> None:
    round = Round("r", 1.0, Work(*(down() for _ in range(8))))
    pauses = [await round.once() for _ in range(9)]
    assert pauses == [2.0, 4.0, 8.0, 16.0, PAUSE_MAX_S, PAUSE_MAX_S, PAUSE_MAX_S, PAUSE_MAX_S, 1.0]
    assert (round.rounds, round.failures) == (9, 8)


async def test_it_is_unwell_after_several_failures_in_a_row_and_well_again_after_a_success() -> None:
    round = Round("r", 1.0, Work(*(down() for _ in range(FAILURES_TO_TELL))))
    told: list[str | None] = []
    for _ in range(FAILURES_TO_TELL + 1):
        await round.once()
        told.append(round.failing)
    assert told == [None] * (FAILURES_TO_TELL - 1) + ["r: down", None]


async def test_a_row_of_failures_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    round = Round("r", 1.0, Work(down(), down(), down()))
    with caplog.at_level(logging.WARNING, "soundstage"):
        for _ in range(3):
            await round.once()
    assert [record.getMessage() for record in caplog.records] == ["a background round failed"]


async def test_a_defect_is_logged_with_its_story_and_the_round_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(KeyError("oh"))
    round = Round("r", 1.0, work)
    with caplog.at_level(logging.ERROR, "soundstage"):
        await round.once()
    await round.once()
    assert caplog.records[0].exc_info is not None
    assert work.done == 1


async def test_rounds_repeat_until_stopped(environment: VirtualEnvironment) -> None:
    background = Background(environment)
    work = Work()
    background.run("rounds", background.repeat([background.add("r", 1.0, work)]))
    for _ in range(20):
        await asyncio.sleep(0)
    await background.stop()
    done = work.done
    assert done > 3
    for _ in range(20):
        await asyncio.sleep(0)
    assert work.done == done
    await background.stop()


async def test_tasks_stop_in_reverse(environment: VirtualEnvironment) -> None:
    background = Background(environment)
    ended: list[str] = []

    async def endless(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    for name in ("first", "second"):
        background.run(name, endless(name))
    await asyncio.sleep(0)
    await background.stop()
    assert ended == ["second", "first"]


async def test_roles_stop_together_before_all_else(environment: VirtualEnvironment) -> None:
    background = Background(environment)
    ended: list[str] = []

    async def endless(name: str, steps: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(f"{name} is told")
            for _ in range(steps):
                await asyncio.sleep(0)
            ended.append(name)

    background.run("deadlines", endless("deadlines", 0))
    background.play("one", endless("one", 1))
    background.play("other", endless("other", 5))
    await asyncio.sleep(0)
    await background.stop()
    assert ended == ["one is told", "other is told", "one", "other", "deadlines is told", "deadlines"]
