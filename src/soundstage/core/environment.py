"""Time, randomness and sleep, as a stage hands them to everything that coordinates.

Code that takes its clock from here runs unchanged under the seeded simulation, where an hour passes in
a millisecond and one seed always gives one history.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Protocol


class Environment(Protocol):
    """What may differ between two runs of the same program.

    `random` is for jitter, ids and tokens; its outputs betray its state, so keys and passwords come from
    `secret` and from nowhere else.
    """

    random: random.Random

    def secret(self, size: int) -> bytes:
        """`size` bytes that nobody can guess; seeded under simulation."""
        ...

    def now_ns(self) -> int:
        """Wall clock: nanoseconds since 1970 UTC; may step back."""
        ...

    def now_us(self) -> int:
        """Wall clock in microseconds, floored."""
        ...

    def monotonic_ns(self) -> int:
        """A clock that only goes forward; its zero means nothing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of the monotonic clock; 0 lets others run once."""
        ...


class SystemEnvironment:
    """The machine's clocks and a generator seeded by the operating system."""

    def __init__(self) -> None:
        self.random: random.Random = random.Random(random.SystemRandom().getrandbits(128))

    def secret(self, size: int) -> bytes:
        return os.urandom(size)

    def now_ns(self) -> int:
        return time.time_ns()

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualEnvironment:
    """A clock that moves only when told to, and a seeded generator.

    `sleep` advances the clock at once and yields to other tasks; two runs with one seed are the same.
    """

    def __init__(self, seed: int = 0, start_ns: int = 1_700_000_000_000_000_000) -> None:
        self.random: random.Random = random.Random(seed)
        self._wall_ns = start_ns
        self._monotonic_ns = 0

    def secret(self, size: int) -> bytes:
        return self.random.randbytes(size)

    def now_ns(self) -> int:
        return self._wall_ns

    def now_us(self) -> int:
        return self._wall_ns // 1000

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`, which is not negative."""
        if seconds < 0:
            raise ValueError("the monotonic clock cannot go back; use skew() for the wall clock")
        self._wall_ns += round(seconds * 1e9)
        self._monotonic_ns += round(seconds * 1e9)

    def skew(self, seconds: float) -> None:
        """Step the wall clock alone, either way, as a bad time server would."""
        self._wall_ns += round(seconds * 1e9)
