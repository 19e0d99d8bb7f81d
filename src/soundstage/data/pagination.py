"""How many rows to ask for, so that a page of so many bytes is read neither twice nor in vain; for all data systems.

Some stores count rows, pages count bytes. Each namespace keeps a running estimate of its rows' size for first
pages; a page token carries that of its own walk. A store that cannot stop by bytes is asked for `L` rows,
`L = clamp(ceil(bytes_left / estimate * 1.1), rows_min, rows_max)`, and what does not fit is read again.
"""

from __future__ import annotations

from math import ceil

from soundstage.core.environment import Environment
from soundstage.core.namespace import Objective
from soundstage.runtime.service import NamespaceView

MARGIN = 1.1
WEIGHT = 0.2
FIRST_ESTIMATE_BYTES = 256.0
NO_LIMIT = 1 << 62

RESERVE_NS = 2_000_000
"""Kept back from a deadline, for what follows the last read; a quarter of the time there is, where that is less."""


class RowEstimate:
    """Bytes of a row: an average in which a page counts a fifth."""

    __slots__ = ("bytes",)

    def __init__(self, bytes: float = FIRST_ESTIMATE_BYTES) -> None:
        self.bytes: float = bytes

    def learn(self, rows: int, size: int) -> None:
        """A read returned `rows` rows of `size` bytes in all."""
        if rows:
            self.bytes += WEIGHT * (size / rows - self.bytes)

    def rows_for(self, size: int, rows_min: int, rows_max: int) -> int:
        """How many rows to ask for to fill `size` bytes."""
        return max(rows_min, min(rows_max, ceil(size / max(self.bytes, 1.0) * MARGIN)))


class Amplification:
    """Bytes read from the store and bytes returned, since the start."""

    __slots__ = ("read", "returned")

    def __init__(self) -> None:
        self.read: int = 0
        self.returned: int = 0


class Patience:
    """When to stop reading and answer with what there is.

    A page stops before the next read would probably end after the caller's deadline or the namespace's
    maximum; the first read is always made. `stop_ns`, on the monotonic clock, is when reads end by themselves.
    """

    __slots__ = ("_environment", "_longest_ns", "_started_ns", "stop_ns")

    def __init__(self, environment: Environment, deadline_ns: int | None, max_ns: int | None) -> None:
        self._environment = environment
        self._started_ns = now_ns = environment.monotonic_ns() if (deadline_ns or max_ns) else 0
        ends = [] if deadline_ns is None else [deadline_ns]
        if max_ns is not None:
            ends.append(now_ns + max_ns)
        # A reserve larger than the time there is would leave none to read in: page after page without an item.
        stops = [end_ns - min(RESERVE_NS, max(0, end_ns - now_ns) // 4) for end_ns in ends]
        self.stop_ns: int | None = min(stops) if stops else None
        self._longest_ns = 0

    async def give_way(self) -> None:
        """Others have run; called often enough that no page holds the loop for long."""
        await self._environment.sleep(0)

    @property
    def reads_left(self) -> int:
        """How many reads like the last ones would not come too late, were they made one after the other."""
        if self.stop_ns is None:
            return NO_LIMIT
        if not self._longest_ns:
            return 1
        return max(1, (self.stop_ns - self._environment.monotonic_ns()) // self._longest_ns)

    def is_over(self) -> bool:
        """Whether another read like the last ones would come too late; call after each read."""
        if self.stop_ns is None:
            return False
        now_ns = self._environment.monotonic_ns()
        self._longest_ns = max(self._longest_ns, now_ns - self._started_ns)
        self._started_ns = now_ns
        return now_ns >= self.stop_ns or now_ns + self._longest_ns > self.stop_ns


def max_ns(view: NamespaceView, operation: str) -> int | None:
    """How long the operation may take: by its own objective, else by that of all that read; None is for ever."""
    objective: Objective | None = view.slos.get(operation) or view.slos.get("read")
    if objective is None or objective.latency.max is None:
        return None
    return int(objective.latency.max)
