from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from tests.testing.simulation.theatre import at_play, at_site, noted

from soundstage.runtime.schedule import Schedule
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.environment import START_NS
from soundstage.testing.simulation.process import Process
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.schedule import Act, Runs, SchedulePlay, ScheduleStep

T = TypeVar("T")

START_US = START_NS // 1_000
OFTEN_US = 20_000_000


def played(body: Callable[[Site, SchedulePlay], Awaitable[T]]) -> T:
    return at_play(SchedulePlay, body, climate=Climate(clients=2))


def step(act: Act, number: int = 1, **choices: Any) -> ScheduleStep:
    return ScheduleStep(number=number, client=0, act=act, **choices)


@pytest.mark.parametrize(
    "trouble",
    [
        [],
        [step("pause", for_s=45.0)],
        [step("kill", for_s=0.5)],
        [step("kill", for_s=0.5), step("kill", target=1, for_s=25.0)],
        [step("clock", skew_s=100_000.0)],
        [step("clock", skew_s=-100_000.0), step("wait"), step("pause", target=1, for_s=200.0)],
    ],
)
def test_everything_is_done_when_it_is_due_once_the_trouble_is_over(trouble: list[ScheduleStep]) -> None:
    async def body(site: Site, playing: SchedulePlay) -> set[str]:
        for each in trouble:
            await site.environment.sleep(65.0)
            await playing.play(each)
        await playing.play(step("audit"))
        await playing.settle()
        return noted()

    assert "audited" in played(body)


def test_an_audit_that_is_disturbed_says_nothing() -> None:
    async def body(site: Site, playing: SchedulePlay) -> set[str]:
        auditing = site.loop.create_task(playing.play(step("audit")))
        await site.environment.sleep(5)
        await site.host.restart("kill", 1.0)
        await auditing
        return noted()

    assert played(body) == {"audit_disturbed"}


def test_others_wait_for_the_end_of_an_audit() -> None:
    async def body(site: Site, playing: SchedulePlay) -> bool:
        auditing = site.loop.create_task(playing.play(step("audit")))
        await site.environment.sleep(5)
        await playing.play(step("kill"))
        return auditing.done()

    assert played(body)


def test_work_that_nobody_does_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(site: Site, playing: SchedulePlay) -> None:
        async def idle(*_: object) -> float:
            return 10.0

        monkeypatch.setattr(Schedule, "turn", idle)
        await playing.settle()

    with pytest.raises(Divergence, match="was done 0 times while nothing was wrong"):
        played(body)


def judged(body: Callable[[Runs, Process, Process], None]) -> None:
    async def main(site: Site) -> None:
        first, second = site.add_process(), site.add_process()
        first.begin()
        second.begin()
        # Behind a due time, so that what is told of the first moment is not judged.
        await site.environment.sleep(21)
        body(Runs(), first, second)

    at_site(main)


def test_work_that_is_done_again_for_no_reason_is_found_out() -> None:
    def body(runs: Runs, first: Process, second: Process) -> None:
        runs.begin("often", first, START_US + 21_000_000).end(START_US + 21_500_000)
        with pytest.raises(Divergence, match="process 1/1 does often again, which process 0/1 did"):
            runs.begin("often", second, START_US + 21_600_000)

    judged(body)


def test_work_may_be_done_again_after_trouble() -> None:
    def body(runs: Runs, first: Process, second: Process) -> None:
        runs.begin("often", first, START_US + 21_000_000).end(START_US + 21_500_000)
        runs.disturbed_us = START_US + 21_200_000
        runs.begin("often", second, START_US + 21_600_000)
        assert [run.process for run in runs.all["often"]] == [first, second]

    judged(body)


def test_work_that_was_cut_off_is_done_again() -> None:
    def body(runs: Runs, first: Process, second: Process) -> None:
        runs.begin("often", first, START_US + 21_000_000)
        runs.begin("often", second, START_US + 21_600_000)
        assert [run.process for run in runs.all["often"]] == [first, second]

    judged(body)


def test_a_due_time_that_was_left_out_is_found_out() -> None:
    def body(runs: Runs, first: Process, second: Process) -> None:
        runs.begin("often", first, START_US + 21_000_000).end(START_US + 21_500_000)
        runs.check_each("often", START_US, START_US + OFTEN_US + 1)
        with pytest.raises(Divergence, match="was done 0 times"):
            runs.check_each("often", START_US, START_US + 2 * OFTEN_US + 1)

    judged(body)


def test_work_that_comes_too_late_is_found_out() -> None:
    def body(runs: Runs, first: Process, second: Process) -> None:
        run = runs.begin("often", first, START_US + 21_000_000)
        run.end(START_US + 21_500_000)
        run.clock_us += 60_000_000
        with pytest.raises(Divergence, match="was done 61000000 µs later"):
            runs.check_each("often", START_US, START_US + OFTEN_US + 1)

    judged(body)


def test_what_was_not_made_up_for_is_found_out() -> None:
    def body(runs: Runs, first: Process, second: Process) -> None:
        runs.check_made_up("often", START_US + 90_000_000)
        runs.begin("often", first, START_US + 21_000_000).end(START_US + 21_500_000)
        runs.check_made_up("often", START_US + 39_000_000)
        with pytest.raises(Divergence, match="at last"):
            runs.check_made_up("often", START_US + 41_000_000)

    judged(body)


def test_what_a_fast_clock_did_excuses_what_was_due_until_it_was_seen() -> None:
    def body(runs: Runs, first: Process, second: Process) -> None:
        runs.begin("often", first, START_US + 21_000_000).end(START_US + 21_500_000)
        second.environment.skew_s = 100_000.0
        assert not runs.begin("often", second, START_US + 22_000_000).is_near
        runs.check_made_up("often", START_US + 90_000_000)

    judged(body)
