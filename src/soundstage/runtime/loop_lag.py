"""How late the event loop runs what is due: what a handler that holds the loop costs all others."""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.runtime.statistics import Histogram

INTERVAL_S = 0.1


class LoopLag:
    """`lag` has one observation per sample, in nanoseconds."""

    def __init__(self, environment: Environment) -> None:
        self.lag: Histogram = Histogram()
        self._environment = environment

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await self.sample()

    async def sample(self) -> None:
        """Sleep for the interval and count by how much it was exceeded."""
        due_ns = self._environment.monotonic_ns() + round(INTERVAL_S * 1e9)
        await self._environment.sleep(INTERVAL_S)
        self.lag.observe(max(0, self._environment.monotonic_ns() - due_ns))
