"""The environment of a simulated process: the loop's time, a seed, and a wall clock that may be wrong."""

from __future__ import annotations

import asyncio
from random import Random

from soundstage.testing.simulation.loop import SimulationLoop
from soundstage.testing.simulation.turn import is_direct

START_NS = 1_700_000_000_000_000_000


class SimulatedEnvironment:
    """Clocks on the loop's time. Each process of a run has its own.

    `busy_s` is how long the machine works, at most, between two looks at a clock: 0 stops time between two waits.
    `clock_steps` counts how often `skew_s` was set.
    """

    def __init__(self, loop: SimulationLoop, seed: object) -> None:
        self.random: Random = Random(f"environment {seed}")
        self.busy_s: float = 0.0
        self.clock_steps: int = 0
        self._chance = Random(f"work {seed}")
        self._loop = loop
        self._skew_ns = 0

    @property
    def skew_s(self) -> float:
        """How far the wall clock is off; setting it makes the clock step."""
        return self._skew_ns / 1e9

    @skew_s.setter
    def skew_s(self, seconds: float) -> None:
        self._skew_ns = round(seconds * 1e9)
        self.clock_steps += 1

    def secret(self, size: int) -> bytes:
        return self.random.randbytes(size)

    def now_ns(self) -> int:
        return START_NS + self._skew_ns + self.monotonic_ns()

    def now_us(self) -> int:
        return self.now_ns() // 1_000

    def monotonic_ns(self) -> int:
        if self.busy_s and not is_direct():
            self._loop.jump(self._chance.uniform(0.0, self.busy_s))
        return self._loop.virtual_ns

    def work(self, seconds: float) -> None:
        """The machine was busy for so long, and nothing else could run."""
        self._loop.jump(seconds)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
