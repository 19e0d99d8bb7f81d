"""Leases under simulation: several processes take, renew, use and lose them, while they are killed and paused.

Every client is a process beside the host. The judge holds the leases of all of them, and so sees at any instant who
believes to have a name; rows are written under leases as the code of jobs does it, refused where a greater fencing
number has been.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Literal, NamedTuple, TypeAlias, get_args

from soundstage.core.errors import DeadlineExceeded, PreconditionFailed, SoundstageError, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.runtime.leases import RENEW_SHARE, Lease, LeaseLost, Leases
from soundstage.runtime.system_table import SystemTable
from soundstage.testing.simulation.process import Killed, Process
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Scenario, Site, Step

Act: TypeAlias = Literal["take", "renew", "write", "release", "hold", "wait", "pause", "kill", "clock"]
_WEIGHTS = (20, 14, 26, 4, 10, 12, 6, 2, 5)

NAMES = ("one", "other", "third")
TTLS_S = (2.0, 10.0)
PAUSES_S = (0.05, 1.0, 5.0, 25.0)
STALLS_S = (1.0, 20.0, 60.0)
STALL_TURNS = 12
FAR_S = 86_400.0
"""How far a clock may be off: no two of them are compared."""

DEAD_S = 60.0
"""The code of a process that has ended has done what it could by then."""

TURNS_MAX = 200
"""Looks that a process needs at most until it has had a lease that others want too."""


class LeaseStep(Step, frozen=True, kw_only=True, tag="leases"):
    """One act of the process `client` on `name`; `target` is the one that is paused for `for_s`, or killed.

    With `stalled_s` the process stops for so long within the act: one that writes between its look at the lease and
    the write, another after as many turns of the loop as `target` says.
    """

    act: Act
    name: str
    ttl_s: float
    target: int = 0
    for_s: float = 0.0
    skew_s: float = 0.0
    stalled_s: float = 0.0


class _Held(NamedTuple):
    """A lease, and the life of the process that took it."""

    lease: Lease
    process: Process
    life: int

    @property
    def acts(self) -> bool:
        """Whether its process is alive and believes to have the name at this instant."""
        return self.process.is_up and self.process.life == self.life and self.lease.held


class Holders:
    """Everybody who ever had one name: at most one of them at a time, each with a greater number."""

    def __init__(self, name: str) -> None:
        self.greatest: int = 0
        self.written: int = 0
        self.last: _Held | None = None
        self._name = name
        self._fences: set[int] = set()
        self._held: list[_Held] = []

    def taken(self, process: Process, lease: Lease, greatest_before: int) -> None:
        """`process` was given `lease`, having asked when the greatest number known was `greatest_before`."""
        if lease.fence in self._fences or lease.fence <= greatest_before:
            raise Divergence(f"{self._name} was given with the fence {lease.fence}, after {greatest_before}")
        self._fences.add(lease.fence)
        self.greatest = max(self.greatest, lease.fence)
        self.last = _Held(lease, process, process.life)
        # Who has died never has it again.
        self._held = [*(each for each in self._held if each.process.life == each.life), self.last][-20:]
        self.check()

    def check(self) -> None:
        """Not two believe to have the name."""
        acting = [each for each in self._held if each.acts]
        if len(acting) > 1:
            who = " and ".join(f"{each.process.name} with the fence {each.lease.fence}" for each in acting)
            raise Divergence(f"{self._name} is held by {who}")

    def wrote(self, fence: int, written_before: int) -> None:
        """A row was written under `fence`; `written_before` is the greatest one that had been when it was sent."""
        if fence < written_before:
            raise Divergence(f"a write under the fence {fence} of {self._name} was let in after {written_before}")
        self.written = max(self.written, fence)


class _Worker:
    """A process and its leases."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.has: dict[str, Lease] = {}
        self.leases: Leases
        self.table: SystemTable

    def begin(self, skew_s: float) -> None:
        process = self.process
        process.begin(skew_s)
        environment = process.environment
        self.table = SystemTable(process.records, "leases", TokenClock(environment), environment)
        self.leases = Leases(self.table, environment, process.name)
        self.has = {}


class LeasesPlay:
    """Every client is a process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._workers = [_Worker(site.add_process()) for _ in range(site.climate.clients)]
        self._names = {name: Holders(name) for name in NAMES}

    async def prepare(self) -> None:
        for worker in self._workers:
            worker.begin(0.0)

    async def play(self, step: LeaseStep) -> None:
        worker = self._workers[step.client]
        target = self._workers[step.target % len(self._workers)]
        try:
            match step.act:
                case "pause":
                    target.process.pause(step.for_s)
                case "kill":
                    target.process.kill()
                    await self._site.environment.sleep(step.for_s)
                    if not target.process.is_up:
                        target.begin(step.skew_s)
                case "clock":
                    worker.process.environment.skew_s = step.skew_s
                case _:
                    if step.stalled_s and step.act != "write":
                        self._site.loop.create_task(self._stall(worker.process, step))
                    await worker.process.run(self._act(worker, step))
        except Killed:
            self._site.note("killed")

    async def settle(self) -> None:
        """Whoever died or let go: each name moves to whoever waits for it, one after the other."""
        await self._site.environment.sleep(DEAD_S)
        for worker in self._workers:
            worker.process.resume()
            if not worker.process.is_up:
                worker.begin(0.0)
        first, second = self._workers[0], self._workers[-1]
        try:
            for name in NAMES:
                await first.process.run(self._succeed(first, name))
                await second.process.run(self._follow(second, name))
        except SoundstageError as error:
            raise Divergence(f"nothing is wrong any more, and yet: {error!r}") from error
        for worker in self._workers:
            worker.process.spawn(self._queue(worker, NAMES[0]))
        waited_s = TURNS_MAX * TTLS_S[0] * len(self._workers)
        await self._site.environment.sleep(waited_s)
        if late := [worker.process.name for worker in self._workers if "had" not in worker.has]:
            raise Divergence(f"{late} have waited for {NAMES[0]} for {waited_s} s and not had it")

    async def _stall(self, process: Process, step: LeaseStep) -> None:
        for _ in range(step.target % STALL_TURNS):
            await self._site.environment.sleep(0)
        process.pause(step.stalled_s)

    async def _act(self, worker: _Worker, step: LeaseStep) -> None:
        try:
            match step.act:
                case "take":
                    await self._take(worker, step)
                case "renew":
                    await self._renew(worker, step)
                case "write":
                    await self._write(worker, step)
                case "release":
                    await self._release(worker, step)
                case "hold":
                    await self._hold(worker, step)
                case _:
                    await self._wait(worker, step)
        except LeaseLost:
            self._site.note("lost")
            worker.has.pop(step.name, None)
        except (Unavailable, DeadlineExceeded):
            self._site.note("unreachable")

    async def _take(self, worker: _Worker, step: LeaseStep) -> bool:
        holders = self._names[step.name]
        before, last = holders.greatest, holders.last
        lease = await worker.leases.take(step.name, step.ttl_s)
        if lease is None:
            self._site.note("had_by_another")
            return False
        self._taken(worker, step.name, lease, before)
        self._site.note("taken" if lease.held else "taken_too_late")
        if last is not None and last.process.life != last.life:
            self._site.note("taken_from_the_dead")
        worker.has[step.name] = lease
        return True

    def _taken(self, worker: _Worker, name: str, lease: Lease, before: int) -> None:
        self._site.tell(f"{worker.process.name} has {name} with the fence {lease.fence}, for {lease.left_s:.3f} s")
        self._names[name].taken(worker.process, lease, before)

    async def _renew(self, worker: _Worker, step: LeaseStep) -> None:
        lease = worker.has.get(step.name)
        if lease is not None:
            await lease.renew()
            self._names[step.name].check()
            self._site.note("renewed")

    async def _release(self, worker: _Worker, step: LeaseStep) -> None:
        lease = worker.has.pop(step.name, None)
        if lease is not None:
            await lease.release()
            self._site.note("released")

    async def _write(self, worker: _Worker, step: LeaseStep) -> None:
        """As work does under a lease: a look at it, and then a write, which may come much later."""
        lease, holders = worker.has.get(step.name), self._names[step.name]
        if lease is None:
            return
        lease.check()
        holders.check()
        if step.stalled_s:
            worker.process.pause(step.stalled_s)
            await worker.process.environment.sleep(0)
        before = holders.written
        place = f"work/{step.name}"
        for _ in range(10):
            found = await worker.table.get(place, "row")
            fence = 0 if found is None else int(found.value)
            if fence < before:
                raise Divergence(f"the row of {step.name} has the fence {fence}, and had {before}")
            if fence > lease.fence:
                self._site.note("fenced_out")
                return
            try:
                await worker.table.write(
                    place, {"row": b"%d" % lease.fence}, {"row": None if found is None else found.stamp}, onward=True
                )
            except PreconditionFailed:
                continue
            self._site.tell(f"{worker.process.name} wrote under the fence {lease.fence} of {step.name}")
            holders.wrote(lease.fence, before)
            self._site.note("wrote" if lease.held else "wrote_after_its_time")
            return

    async def _hold(self, worker: _Worker, step: LeaseStep) -> None:
        """Work that lasts longer than the lease, which is renewed meanwhile."""
        holders, calm = self._names[step.name], self._calm(worker)
        before = holders.greatest

        async def work(lease: Lease) -> bool:
            self._taken(worker, step.name, lease, before)
            for _ in range(8):
                lease.check()
                holders.check()
                await worker.process.environment.sleep(step.ttl_s / 3)
            lease.check()
            return True

        try:
            done = await worker.leases.while_held(step.name, step.ttl_s, work)
        except LeaseLost as error:
            if calm is not None and calm == self._calm(worker):
                raise Divergence(f"{worker.process.name} lost {step.name} while nothing was wrong") from error
            raise
        self._site.note("held_long" if done else "had_by_another")

    async def _wait(self, worker: _Worker, step: LeaseStep) -> None:
        """Looks again and again for longer than a dead holder's time, and does the work."""
        for _ in range(8):
            if await self._take(worker, step):
                await self._write(worker, step)
                return
            await worker.process.environment.sleep(step.ttl_s * RENEW_SHARE)

    def _calm(self, worker: _Worker) -> tuple[int, int, int] | None:
        """What has happened so far; None while something is wrong."""
        calm = self._site.host.calm()
        return None if calm is None or worker.process.is_paused else (*calm, worker.process.pauses)

    async def _succeed(self, worker: _Worker, name: str) -> None:
        """Takes over from whoever had it last, within its time."""
        environment = worker.process.environment
        limit_ns = environment.monotonic_ns() + round(max(TTLS_S) * (1 + 2 * RENEW_SHARE) * 1e9)
        while True:
            before = self._names[name].greatest
            lease = await worker.leases.take(name, TTLS_S[0])
            if lease is not None:
                break
            if environment.monotonic_ns() > limit_ns:
                raise Divergence(f"nobody uses {name}, and {worker.process.name} still waits for it")
            await environment.sleep(TTLS_S[0] * RENEW_SHARE)
        self._taken(worker, name, lease, before)
        await lease.renew()
        await lease.release()

    async def _follow(self, worker: _Worker, name: str) -> None:
        """Takes at once what was released."""
        before = self._names[name].greatest
        lease = await worker.leases.take(name, TTLS_S[0])
        if lease is None:
            raise Divergence(f"{name} was released, and {worker.process.name} cannot have it")
        self._taken(worker, name, lease, before)
        await lease.release()

    async def _queue(self, worker: _Worker, name: str) -> None:
        """Waits for its turn with it, again and again, as roles do."""
        environment, ttl_s = worker.process.environment, TTLS_S[0]

        async def work(lease: Lease) -> bool:
            await environment.sleep(ttl_s)
            worker.has["had"] = lease
            return True

        while True:
            await worker.leases.while_held(name, ttl_s, work)
            await environment.sleep(ttl_s * RENEW_SHARE * environment.random.uniform(0.5, 1.0))


class LeasesScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "leases"
    spared: frozenset[str] = SYSTEM_TABLES
    situations: Mapping[str, float] = {
        "taken": 0.03,
        "taken_from_the_dead": 0.005,
        "had_by_another": 0.03,
        "renewed": 0.01,
        "lost": 0.01,
        "wrote": 0.01,
        "wrote_after_its_time": 0.001,
        "fenced_out": 0.001,
        "held_long": 0.005,
        "killed": 0.001,
    }

    def draw(self, random: Random, number: int, client: int) -> LeaseStep:
        return LeaseStep(
            number=number,
            client=client,
            pause_s=random.choice((0.0, 0.0, 0.5, 1.0, 2.0)),
            act=random.choices(get_args(Act), _WEIGHTS)[0],
            name=random.choices(NAMES, (6, 2, 1))[0],
            ttl_s=random.choices(TTLS_S, (1, 2))[0],
            target=random.randrange(60),
            for_s=random.choice(PAUSES_S),
            skew_s=random.choice((0.0, random.uniform(-1.0, 1.0), random.uniform(-FAR_S, FAR_S))),
            stalled_s=random.choice(STALLS_S) if random.random() < 0.15 else 0.0,
        )

    def open(self, site: Site, random: Random) -> Play:
        return LeasesPlay(site)


SCENARIO: Scenario = LeasesScenario()
