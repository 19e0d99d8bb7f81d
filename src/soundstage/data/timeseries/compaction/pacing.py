"""The pace of rewriting, which all namespaces of a process share."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from soundstage.core.environment import Environment
from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries.segments.writing import Pace


class Pacing:
    """Holds reading and writing to so many bytes a second: each who works to its own, and all to the greatest."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._free_ns = environment.monotonic_ns()
        self._rates: list[int] = []

    @contextmanager
    def at(self, per_second: int) -> Generator[Pace]:
        """To be told of bytes: returns when there may be more."""
        free_ns = self._environment.monotonic_ns()

        async def spend(size: int) -> None:
            nonlocal free_ns
            now_ns, fastest = self._environment.monotonic_ns(), max(self._rates)
            free_ns = max(free_ns, now_ns) + size * NS_PER_S // per_second
            # One that is slow takes no more of what all have than its bytes are.
            self._free_ns = max(self._free_ns, now_ns) + size * NS_PER_S // fastest
            await self._environment.sleep(max(0, free_ns - now_ns, self._free_ns - now_ns) / NS_PER_S)

        self._rates.append(per_second)
        try:
            yield spend
        finally:
            self._rates.remove(per_second)
