"""Clocks of processes that are off those of the machine, while time passes as ever."""

from __future__ import annotations

from soundstage.core.environment import SystemEnvironment


class OffClock(SystemEnvironment):
    """The machine's wall clock, so many seconds ahead; or behind, where that is negative."""

    def __init__(self, off_s: float = 0.0) -> None:
        super().__init__()
        self.off_s: float = off_s

    def now_ns(self) -> int:
        return super().now_ns() + round(self.off_s * 1e9)

    def now_us(self) -> int:
        return self.now_ns() // 1_000


class LaterClock(OffClock):
    """All of the machine's clocks, so many seconds ahead: that time has passed for who was there before, too."""

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + round(self.off_s * 1e9)
