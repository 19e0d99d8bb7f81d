"""Timed work under simulation: processes that follow the same schedule are killed, paused and given wrong clocks.

Work is told by the clock of the process that does it. While nothing is wrong every due time is met by one run, soon
after it; of the times that passed meanwhile, the last one is made up for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Literal, TypeAlias, get_args

from soundstage.core.hlc import TokenClock
from soundstage.core.time import NS_PER_S, Duration
from soundstage.runtime.leases import Leases
from soundstage.runtime.schedule import LEASE_S, LOOK_S, Schedule, Timed
from soundstage.runtime.system_table import SystemTable
from soundstage.runtime.timetable import Cron, Every, Timetable
from soundstage.testing.simulation.faults import HEALTHY
from soundstage.testing.simulation.process import Process
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Scenario, Site, Step

Act: TypeAlias = Literal["wait", "pause", "kill", "clock", "audit"]
_WEIGHTS = (60, 14, 14, 8, 4)

PROCESSES = 3
PAUSES_S = (0.5, 5.0, 25.0, 45.0, 200.0)
FAR_S = (90_000.0, 180_000.0)
"""Further than anything is apart: what a clock writes that is less far ahead is taken for done in time."""

NEAR_S = 1.0
JITTER_S = 2.0
LATE_S = 2 * LOOK_S + JITTER_S + 1.1 * LEASE_S
"""So long after its time work may begin: who did it last may have died then, and its lease was not looked at since."""

AGREE_S = 150.0
"""After so long without trouble what was cut off has been done again."""

WATCHED_S = 500.0

TIMETABLES: Mapping[str, tuple[Timetable, float]] = {
    "often": (Every(Duration(20 * NS_PER_S)), 0.5),
    "hourly": (Every(Duration(3_600 * NS_PER_S)), 50.0),
    "cron": (Cron("*/3 * * * *"), 5.0),
}
"""What is due when, and how long it takes."""


class ScheduleStep(Step, frozen=True, kw_only=True, tag="schedule"):
    """What happens to the process `target`."""

    act: Act
    target: int = 0
    for_s: float = 0.0
    skew_s: float = 0.0


class Run:
    """One time that a process did the work. `ended_us` is None while it does, and for ever when it was cut off."""

    def __init__(self, name: str, process: Process, now_us: int) -> None:
        self.name = name
        self.process = process
        self.began_us = now_us
        self.clock_us: int = process.environment.now_us()
        self.due_us: int = _due_before(TIMETABLES[name][0], self.clock_us)
        self.skew_us: int = abs(self.clock_us - now_us)
        self.ended_us: int | None = None

    def end(self, now_us: int) -> None:
        """It came to its end now."""
        self.ended_us = now_us
        self.skew_us = max(self.skew_us, abs(self.process.environment.now_us() - now_us))

    @property
    def is_near(self) -> bool:
        """Whether the clock of the process was about right."""
        return self.skew_us <= 2 * NEAR_S * 1e6


class Runs:
    """All runs of all processes, in real time; `disturbed` tells of whatever may excuse a repetition."""

    def __init__(self) -> None:
        self.all: dict[str, list[Run]] = {name: [] for name in TIMETABLES}
        self.disturbed_us: int = 0

    def begin(self, name: str, process: Process, now_us: int) -> Run:
        """`process` does the work now."""
        run = Run(name, process, now_us)
        ended = [each for each in self.all[name] if each.ended_us is not None]
        if ended and ended[-1].due_us == run.due_us and self.disturbed_us < ended[-1].began_us:
            raise Divergence(f"{process.name} does {name} again, which {ended[-1].process.name} did for {run.due_us}")
        self.all[name] = [*self.all[name][-200:], run]
        return run

    def check_each(self, name: str, since_us: int, until_us: int) -> None:
        """Each due time in between was met by one run, soon after it."""
        timetable, due_us = TIMETABLES[name][0], since_us
        while (due_us := timetable.next_after(due_us)) < until_us:
            runs = [run for run in self._near(name) if run.due_us == due_us]
            if len(runs) != 1:
                raise Divergence(f"{name} was due at {due_us}, and was done {len(runs)} times while nothing was wrong")
            late_us = runs[0].clock_us - due_us
            if late_us > LATE_S * 1e6:
                raise Divergence(f"{name} was due at {due_us}, and was done {late_us} µs later")

    def check_made_up(self, name: str, now_us: int) -> None:
        """The last time that it was due has been made up for, if it was ever done before.

        Where a clock was far ahead, what was due until others saw its work may be taken for done.
        """
        ended = self._near(name)
        if any(not run.is_near for run in self.all[name] if not ended or run.began_us >= ended[-1].began_us):
            return
        due_us = _due_before(TIMETABLES[name][0], now_us)
        if ended and ended[0].due_us < due_us and max(run.due_us for run in ended) < due_us:
            raise Divergence(f"{name} was due at {due_us}, and was done for {max(run.due_us for run in ended)} at last")

    def _near(self, name: str) -> list[Run]:
        """The runs that came to their end, by processes whose clock was about right."""
        return [run for run in self.all[name] if run.ended_us is not None and run.is_near]


class SchedulePlay:
    """Up to three processes follow the schedule, whatever the clients do to them."""

    def __init__(self, site: Site) -> None:
        self.runs: Runs = Runs()
        self._site = site
        self._processes = [site.add_process() for _ in range(min(PROCESSES, site.climate.clients))]
        self._failure: Divergence | None = None
        self._free = asyncio.Event()
        self._free.set()

    async def prepare(self) -> None:
        for process in self._processes:
            self._begin(process, 0.0)

    async def play(self, step: ScheduleStep) -> None:
        while not self._free.is_set():
            await self._free.wait()
        process = self._processes[step.target % len(self._processes)]
        match step.act:
            case "pause":
                self._disturb()
                process.pause(step.for_s)
            case "kill":
                self._disturb()
                process.kill()
                await self._site.environment.sleep(step.for_s)
                if not process.is_up:
                    self._begin(process, step.skew_s)
            case "clock":
                self._disturb()
                process.environment.skew_s = step.skew_s
            case "audit":
                self._free.clear()
                try:
                    await self._audit()
                finally:
                    self._free.set()
            case _:
                self._check()

    async def settle(self) -> None:
        await self._audit()

    async def _audit(self) -> None:
        """Nothing is wrong for a while, and everything is done when it is due."""
        self._mend()
        calm = self._site.host.calm()
        await self._site.environment.sleep(AGREE_S)
        self._check()
        if calm != self._site.host.calm():
            self._site.note("audit_disturbed")
            return
        for name in TIMETABLES:
            self.runs.check_made_up(name, self._now_us() - round(AGREE_S * 1e6))
        since_us = self._now_us()
        await self._site.environment.sleep(WATCHED_S)
        until_us = self._now_us() - round((LATE_S + 60) * 1e6)
        self._check()
        if calm != self._site.host.calm():
            self._site.note("audit_disturbed")
            return
        for name in TIMETABLES:
            self.runs.check_each(name, since_us + round(2 * NEAR_S * 1e6), until_us)
        self._site.note("audited")

    def _mend(self) -> None:
        """Everybody is there, and nobody's clock is far off."""
        self._disturb()
        self._site.host.set_rates(HEALTHY)
        for number, process in enumerate(self._processes):
            process.resume()
            skew_s = NEAR_S * (number - 1) / 2
            if not process.is_up:
                self._begin(process, skew_s)
            elif abs(process.environment.skew_s) > NEAR_S:
                process.environment.skew_s = skew_s

    def _begin(self, process: Process, skew_s: float) -> None:
        process.begin(skew_s)
        environment = process.environment
        clock = TokenClock(environment)
        leases = Leases(SystemTable(process.records, "leases", clock, environment), environment, process.name)
        schedule = Schedule(SystemTable(process.records, "schedule", clock, environment), leases, environment)
        for name, (timetable, _) in TIMETABLES.items():
            process.serve(schedule.follow(Timed(name, timetable, _Work(self, name, process), JITTER_S)))

    def begin_run(self, name: str, process: Process) -> Run | None:
        """The work is being done; None by a process that is dead."""
        if not process.is_up:
            return None
        self._site.tell(f"{process.name} does {name}")
        if self._site.host.calm() is None:
            self._disturb()
        try:
            return self.runs.begin(name, process, self._now_us())
        except Divergence as divergence:
            # The code of the schedule goes on after whatever its work ends with.
            self._failure = self._failure or divergence
            return None

    def end_run(self, run: Run) -> None:
        """The work is done; whether that is known is another matter in rough weather."""
        run.end(self._now_us())
        if self._site.host.calm() is None:
            self._disturb()

    def _disturb(self) -> None:
        self.runs.disturbed_us = self._now_us()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _now_us(self) -> int:
        return self._site.environment.now_us() - round(self._site.environment.skew_s * 1e6)


class _Work:
    """What a process does when `name` is due."""

    def __init__(self, play: SchedulePlay, name: str, process: Process) -> None:
        self._play = play
        self._name = name
        self._process = process
        self._life = process.life
        self._environment = process.environment

    async def __call__(self) -> None:
        run = None if self._process.life != self._life else self._play.begin_run(self._name, self._process)
        await self._environment.sleep(TIMETABLES[self._name][1])
        if run is not None and self._process.is_up and self._process.life == self._life:
            self._play.end_run(run)


def _due_before(timetable: Timetable, time_us: int) -> int:
    """The last due time up to `time_us`, of a timetable that is due every hour at least."""
    due_us = timetable.next_after(time_us - 3_600_000_001)
    while (following := timetable.next_after(due_us)) <= time_us:
        due_us = following
    return due_us


class ScheduleScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "schedule"
    spared: frozenset[str] = SYSTEM_TABLES
    situations: Mapping[str, float] = {"audited": 0.01}

    def draw(self, random: Random, number: int, client: int) -> ScheduleStep:
        return ScheduleStep(
            number=number,
            client=client,
            pause_s=random.choice((0.0, 1.0, 7.0, 40.0)),
            act=random.choices(get_args(Act), _WEIGHTS)[0],
            target=random.randrange(60),
            for_s=random.choice(PAUSES_S),
            skew_s=random.choice((-1, 1)) * random.uniform(*(FAR_S if random.random() < 0.25 else (0.0, NEAR_S))),
        )

    def open(self, site: Site, random: Random) -> Play:
        return SchedulePlay(site)


SCENARIO: Scenario = ScheduleScenario()
