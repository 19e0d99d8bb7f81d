"""One run of a scenario from its seed to its end, and long runs made of many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from soundstage.core.errors import SoundstageError
from soundstage.testing.simulation.climate import Climate, draw_climate
from soundstage.testing.simulation.coverage import Coverage
from soundstage.testing.simulation.disturbance import SHARE, Disturbance, disturb, draw_disturbance
from soundstage.testing.simulation.faults import HEALTHY
from soundstage.testing.simulation.host import NOTHING
from soundstage.testing.simulation.loop import Deadlock, run, running_loop
from soundstage.testing.simulation.network import QUIET
from soundstage.testing.simulation.scenario import Divergence, Play, Scenario, Site, Step
from soundstage.testing.simulation.storage import End, Storage, Storages
from soundstage.testing.simulation.turn import Turn, taking

EPISODE_STEPS = 2_000
"""Steps of one episode; a longer run is many, each on an empty store."""


@dataclass(kw_only=True)
class Outcome:
    """How an episode ended. Two episodes of one seed have one `digest`, which is of all that they told."""

    coverage: Coverage
    digest: str
    divergence: Divergence | None
    transcript: list[str]


class Episode:
    """So many steps against a fresh store. Everything in it follows from `seed`."""

    def __init__(self, scenario: Scenario, storages: Storages, seed: str, count: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self._storages = storages
        storage = self._open_storage()
        self.climate: Climate = draw_climate(Random(f"climate {seed}"), storage.takes_parts)
        ends = storage.ends
        storage.close()
        random = Random(f"steps {seed}")
        self.steps: list[Step] = [self._draw(random, number, ends) for number in range(count)]

    def play(self, steps: Sequence[Step] | None = None, *, keep_transcript: bool = False) -> Outcome:
        """Play the episode, or only these of its steps."""
        storage = self._open_storage()
        performance = _Performance(self, storage, self.steps if steps is None else steps, keep_transcript)
        try:
            divergence = run(performance.play, self.seed)
        except Deadlock as stuck:
            divergence = Divergence(str(stuck))
        finally:
            storage.close()
        return performance.outcome(divergence)

    def diverges(self, steps: Sequence[Step]) -> bool:
        """Whether playing only these steps ends in a divergence."""
        return self.play(steps).divergence is not None

    def _open_storage(self) -> Storage:
        return self._storages(Random(f"storage {self.seed}"))

    def _draw(self, random: Random, number: int, ends: tuple[End, ...]) -> Step:
        client = random.randrange(self.climate.clients)
        if random.random() < SHARE:
            return draw_disturbance(random, number, client, self.climate.fair, ends)
        return self.scenario.draw(random, number, client)


def episodes(scenario: Scenario, storages: Storages, seed: object, steps: int) -> Iterator[Episode]:
    """The episodes of a run of so many steps."""
    for number, start in enumerate(range(0, steps, EPISODE_STEPS)):
        yield Episode(scenario, storages, f"{seed}/{number}", min(EPISODE_STEPS, steps - start))


class _Performance:
    """One playing of an episode."""

    def __init__(self, episode: Episode, storage: Storage, steps: Sequence[Step], keep_transcript: bool) -> None:
        self._episode = episode
        self._storage = storage
        self._steps = steps
        self._transcript: list[str] | None = [] if keep_transcript else None
        self._coverage = Coverage(steps=len(steps))
        self._site: Site | None = None

    async def play(self) -> Divergence | None:
        """The first divergence, if there is any."""
        loop, episode = running_loop(), self._episode
        climate, scenario = episode.climate, episode.scenario
        systems, config = getattr(scenario, "systems", ()), getattr(scenario, "config", NOTHING)
        site = self._site = Site(loop, episode.seed, climate, self._storage, scenario.spared, systems, config)
        site.transcript = self._transcript
        try:
            await site.host.start()
            play = scenario.open(site, Random(f"play {episode.seed}"))
            await play.prepare()
            loop.executor_s, site.environment.busy_s = climate.executor_s, climate.busy_s
            for stretch in _stretches(self._steps):
                await self._play_stretch(site, play, stretch)
            await _clear_up(site)
            await play.settle()
        except Divergence as divergence:
            return divergence
        finally:
            self._coverage.virtual_s = loop.time()
            await site.host.stop()
        return None

    def outcome(self, divergence: Divergence | None) -> Outcome:
        """What is known at the end, however it came."""
        site, coverage = self._site, self._coverage
        if site is not None:
            coverage.faults.update(site.faults())
        digest = "" if site is None else site.digest
        return Outcome(coverage=coverage, digest=digest, divergence=divergence, transcript=self._transcript or [])

    async def _play_stretch(self, site: Site, play: Play, steps: Sequence[Step]) -> None:
        """The clients play these steps side by side, each its own in their order."""
        tasks = [
            asyncio.ensure_future(self._play_client(site, play, [step for step in steps if step.client == number]))
            for number in range(site.climate.clients)
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _play_client(self, site: Site, play: Play, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.pause_s:
                await site.environment.sleep(step.pause_s)
            await self._play_step(site, play, step)

    async def _play_step(self, site: Site, play: Play, step: Step) -> None:
        turn = Turn(Random(f"turn {self._episode.seed} {step.number}"))
        with taking(turn):
            try:
                if isinstance(step, Disturbance):
                    await disturb(site, step)
                else:
                    await play.play(step)
            except Divergence as divergence:
                raise Divergence(f"step {step.number}: {divergence}") from divergence
            except SoundstageError as error:
                raise Divergence(f"step {step.number} was refused: {error!r}") from error
            except Exception as error:
                raise Divergence(f"step {step.number} failed: {error!r}") from error
        self._coverage.acts[getattr(step, "act", type(step).__name__)] += 1
        self._coverage.situations.update(turn.situations)


def _stretches(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """The steps up to each rest, and each rest by itself."""
    stretch: list[Step] = []
    for step in steps:
        if isinstance(step, Disturbance) and step.act == "rest":
            yield from (stretch, [step])
            stretch = []
        else:
            stretch.append(step)
    yield stretch


async def _clear_up(site: Site) -> None:
    """The weather is fair, and every request has come to its end."""
    site.host.set_rates(HEALTHY)
    site.network.rates = QUIET
    site.environment.busy_s = 0.0
    await site.network.idle()
