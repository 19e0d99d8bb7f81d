"""The hybrid logical clock that stamps writes.

Between two writes the greater time wins, so whoever writes after reading must write a greater time than
it read, however far its own clock is behind. The clock therefore remembers the greatest time it gave out
and the greatest it saw, and always goes past both.
"""

from __future__ import annotations

from threading import Lock

from soundstage.core.environment import Environment
from soundstage.core.ids import uuid4_hex
from soundstage.core.message import IdempotencyToken
from soundstage.core.time import Instant

DRIFT_FUTURE_US = 2_000_000
"""How far beyond the local clock a seen time may lie and still be believed."""


class TokenClock:
    """Gives out strictly increasing microseconds; safe to share between threads.

    One clock serves one process, or one client. A time seen beyond `now + drift_future_us` is ignored:
    believing a wild clock would push every later write out of the window that servers accept. `last_us` is the
    greatest time given out or believed.
    """

    __slots__ = ("_environment", "_lock", "drift_future_us", "last_us")

    def __init__(self, environment: Environment, drift_future_us: int = DRIFT_FUTURE_US) -> None:
        self.drift_future_us: int = drift_future_us
        self._environment = environment
        self.last_us: int = 0
        self._lock = Lock()

    def next_us(self, reserve: int = 1) -> int:
        """The first of `reserve` consecutive microseconds that nobody else is given."""
        first_us = self._environment.now_us()
        with self._lock:
            if first_us <= self.last_us:
                first_us = self.last_us + 1
            self.last_us = first_us + reserve - 1
        return first_us

    def observe(self, time_us: int, now_us: int | None = None) -> None:
        """Every later `next_us` is greater than `time_us`, unless that lies too far in the future.

        `now_us` is the time, for callers who have just asked for it.
        """
        if time_us <= self.last_us:
            return
        if now_us is None:
            now_us = self._environment.now_us()
        if time_us <= now_us + self.drift_future_us:
            with self._lock:
                self.last_us = max(self.last_us, time_us)

    def token(self, reserve: int = 1) -> IdempotencyToken:
        """A token for one write, unlike any other; `reserve` as for `next_us`."""
        return IdempotencyToken(Instant(self.next_us(reserve) * 1_000), uuid4_hex(self._environment))
