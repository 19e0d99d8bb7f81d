"""What the journal of one target counts in this process."""

from __future__ import annotations

from collections.abc import Iterable

from soundstage.data.writeahead.room import Room
from soundstage.runtime.measurement import Measurement

_COUNTED = {
    "accepted": "Sets of mutations accepted",
    "applied": "Sets applied whole",
    "mutations": "Mutations applied",
    "retries": "Sets put off after a failure",
    "dead": "Sets that died",
    "dropped": "Sets of which the log holds a part: their callers were never answered",
    "lost": "Entries that retention took before they were read",
}

WATCHED_MAX = 100_000
"""Sets whose age is watched at once."""


class Tally:
    """Counts since the start, and the sets that this process has seen and that are not done."""

    def __init__(self, target: str) -> None:
        self.counts: dict[str, int] = dict.fromkeys(_COUNTED, 0)
        self._target = target
        self._due_us: dict[str, int] = {}
        self._waiting: set[str] = set()

    def count(self, what: str, times: int = 1) -> None:
        self.counts[what] += times

    def open(self, mutation_id: str, due_us: int, *, waits: bool = False) -> None:
        """The set is known and not done; it could have been applied from `due_us` on."""
        if len(self._due_us) < WATCHED_MAX:
            self._due_us[mutation_id] = due_us
        if waits and len(self._waiting) < WATCHED_MAX:
            self._waiting.add(mutation_id)

    def close(self, mutation_id: str) -> None:
        """The set was applied, or is dead."""
        self._due_us.pop(mutation_id, None)
        self._waiting.discard(mutation_id)

    @property
    def waiting(self) -> int:
        """How many sets wait, as far as this process knows."""
        return len(self._waiting)

    def lag_s(self, now_us: int) -> float:
        """For how long the oldest set that is due has not been applied."""
        return max(0.0, (now_us - min(self._due_us.values(), default=now_us)) / 1e6)

    def measurements(self, now_us: int, room: Room) -> Iterable[Measurement]:
        labels = {"target": self._target}
        for name, help in _COUNTED.items():
            yield Measurement(f"writeahead_{name}", help, self.counts[name], "counter", labels)
        yield Measurement("writeahead_pending", "Sets that wait, known here", self.waiting, "gauge", labels)
        help = "Sets that wait, as counted last: those of other processes, and from before a start, too"
        yield Measurement("writeahead_waiting", help, room.waiting, "gauge", labels)
        help = "Sets refused since as many waited as may"
        yield Measurement("writeahead_refused", help, room.refused, "counter", labels)
        help = "Age of the oldest set that is due and not applied, of those known here"
        yield Measurement("writeahead_lag_seconds", help, self.lag_s(now_us), "gauge", labels)
