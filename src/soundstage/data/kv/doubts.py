"""Writes that ended without anybody knowing whether they come, by record, for as long as they may.

The memory is bounded: of more records it keeps the latest time of all that it let go, which then stands for any record.
"""

from __future__ import annotations

from soundstage.core.environment import Environment


class Doubts:
    """Those of one process, of `records_max` records."""

    def __init__(self, environment: Environment, records_max: int) -> None:
        self._environment = environment
        self._records_max = records_max
        self._until_us: dict[bytes, int] = {}
        self._any_until_us = 0

    def add(self, partition: bytes, until_us: int) -> None:
        """A write to the record may come until then, by the wall clock."""
        until_us = max(until_us, self._until_us.pop(partition, 0))
        if len(self._until_us) >= self._records_max:
            self._drop()
        self._until_us[partition] = until_us

    def until_us(self, partition: bytes) -> int:
        """Until when one may; 0 or past: none."""
        return max(self._until_us.get(partition, 0), self._any_until_us)

    def _drop(self) -> None:
        now_us = self._environment.now_us()
        self._until_us = {each: until_us for each, until_us in self._until_us.items() if until_us > now_us}
        if len(self._until_us) >= self._records_max:
            self._any_until_us = max(self._any_until_us, *self._until_us.values())
            self._until_us.clear()
