"""How much one call may return."""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.engines.records.port import Budget, Row


class Meter:
    """A budget being spent: a first row always, others while they fit, nothing past the deadline."""

    def __init__(self, budget: Budget, environment: Environment) -> None:
        self._rows, self._bytes, self._deadline_ns = budget.rows, budget.bytes, budget.deadline_ns
        self._environment = environment
        self._returned = False

    def takes(self, row: Row) -> bool:
        """Whether `row` is returned too; the first refusal ends the call."""
        size = len(row[0]) + len(row[1])
        if self._is_late() or (self._returned and (self._rows <= 0 or size > self._bytes)):
            return False
        self._rows, self._bytes, self._returned = self._rows - 1, self._bytes - size, True
        return True

    def _is_late(self) -> bool:
        return self._deadline_ns is not None and self._environment.monotonic_ns() >= self._deadline_ns
