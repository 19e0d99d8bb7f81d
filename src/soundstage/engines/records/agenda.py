"""What an engine that keeps everything in memory will forget, and when."""

from __future__ import annotations

from bisect import insort
from typing import Literal, TypeAlias

from soundstage.core import version
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Cell, TableSpec

BACKLOG_MAX = 2_000
"""Things counted as backlog at most, per table."""

STALE_MAX = 1_000

Thing: TypeAlias = tuple[bytes, Literal["row", "all", "range", "ledger"], bytes]
"""What is forgotten some day: a partition, what of it, and its key, start or token."""


class Agenda:
    """Tombstones, markers, expiring puts and ledger entries of a table, each with the cell that it stands for.

    Cancelled things stay in the order until they outnumber the planned ones, which makes cancelling cheap.
    """

    def __init__(self) -> None:
        self._order: list[tuple[int, Thing]] = []
        self._planned: dict[Thing, tuple[int, Cell]] = {}

    def plan(self, thing: Thing, cell: Cell, spec: TableSpec, not_before_us: int = 0) -> None:
        """`thing` comes up once no older write can arrive, and not before `not_before_us`."""
        self.cancel(thing)
        due_us = max(version.time_us(cell) + spec.max_lag_us + IN_FLIGHT_MAX_US + 1, not_before_us)
        self._planned[thing] = due_us, cell
        insort(self._order, (due_us, thing))

    def cancel(self, thing: Thing) -> None:
        """`thing` does not come up; it need not have been planned."""
        self._planned.pop(thing, None)
        if len(self._order) > 2 * len(self._planned) + STALE_MAX:
            self._order = sorted((due_us, thing) for thing, (due_us, _) in self._planned.items())

    def due(self, now_us: int, spec: TableSpec, floor_us: int | None, limit: int) -> list[tuple[int, Thing]]:
        """Up to `limit` things that have come up and may go by the rule of purging, the longest due first."""
        horizon_us = version.purge_horizon_us(now_us, spec.max_lag_us, IN_FLIGHT_MAX_US, floor_us)
        found: dict[tuple[int, Thing], None] = {}
        for entry in self._order:
            due_us, thing = entry
            if due_us > now_us or len(found) >= limit:
                break
            planned_us, cell = self._planned.get(thing, (None, b""))
            if planned_us == due_us and version.is_purgeable(cell, now_us, horizon_us):
                found[entry] = None
        return list(found)
