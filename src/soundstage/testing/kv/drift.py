"""Which token times the store must take, worked out from the history of its knobs."""

from __future__ import annotations

PAST_US = {"2m": 120_000_000, "10m": 600_000_000, "30m": 1_800_000_000}
FUTURE_US = {"1s": 1_000_000, "2s": 2_000_000, "5s": 5_000_000}


class Drift:
    """The two knobs as they are, and when `drift_past` was what before."""

    def __init__(self, past: str, future: str) -> None:
        self.past_us: int = PAST_US[past]
        self.future_us: int = FUTURE_US[future]
        self._before: list[tuple[int, int]] = []

    def change(self, past: str, future: str, now_us: int) -> None:
        if PAST_US[past] != self.past_us:
            self._before.append((self.past_us, now_us))
        self.past_us, self.future_us = PAST_US[past], FUTURE_US[future]

    def oldest_us(self, now_us: int) -> int:
        """The oldest time that is taken.

        While a shorter past held, deletes were forgotten sooner: what is older than that past reached back
        then stays refused for as long as it takes.
        """
        forgotten = [until_us - past_us for past_us, until_us in self._before if past_us < self.past_us]
        return max(now_us - self.past_us, *forgotten, 0)

    def takes(self, time_us: int, now_us: int) -> bool:
        return self.oldest_us(now_us) <= time_us <= now_us + self.future_us
