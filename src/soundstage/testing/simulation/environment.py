"""The environment of a simulated process: the loop's clock, a seed, and a wall clock that may be wrong."""

from __future__ import annotations

import asyncio
from random import Random

from soundstage.testing.simulation.loop import SimulationLoop

START_NS = 1_700_000_000_000_000_000


class SimulatedEnvironment:
    """Clocks of the simulation loop; `skew_s` is how far this process's wall clock is off."""

    def __init__(self, loop: SimulationLoop, seed: int) -> None:
        self.random: Random = Random(seed)
        self.skew_s: float = 0.0
        self._loop = loop

    def secret(self, size: int) -> bytes:
        return self.random.randbytes(size)

    def now_ns(self) -> int:
        return START_NS + self.monotonic_ns() + round(self.skew_s * 1e9)

    def now_us(self) -> int:
        return self.now_ns() // 1_000

    def monotonic_ns(self) -> int:
        return round(self._loop.virtual_s * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
