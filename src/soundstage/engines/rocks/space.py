"""Refuses to fill the disk: a full one cannot even delete."""

from __future__ import annotations

from collections.abc import Callable

from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable
from soundstage.engines.rocks.refusals import unusable

CHECK_EVERY_NS = 1_000_000_000
CHECK_EVERY_BYTES = 8 << 20


class LowWater:
    """Watches the free space of a folder's disk, at most once a second or every 8 MiB written.

    `probe` tells how many bytes are free, or raises `OSError`.
    """

    def __init__(self, folder: str, low_water: int, environment: Environment, probe: Callable[[str], int]) -> None:
        self._folder = folder
        self._low_water = low_water
        self._environment = environment
        self._probe = probe
        self._checked_ns: int | None = None
        self._written = 0
        self._free = 0

    def check(self, size: int) -> None:
        """Raise `Unavailable` when the disk is too full for a write of `size` bytes."""
        now_ns = self._environment.monotonic_ns()
        self._written += size
        if (
            self._checked_ns is None
            or now_ns - self._checked_ns >= CHECK_EVERY_NS
            or self._written >= CHECK_EVERY_BYTES
            or self._free - self._written < self._low_water
        ):
            self._checked_ns, self._written = now_ns, size
            self._free = self._probed()
        if self._free - self._written < self._low_water:
            raise Unavailable(
                f"the disk of {self._folder} has {self._free} bytes left; the low-water mark is {self._low_water}",
                hint="free some space, or delete records: deletes are still taken",
                outcome="not_applied",
                retry_after_ms=5_000,
            )

    def _probed(self) -> int:
        try:
            return self._probe(self._folder)
        except OSError as error:
            raise unusable(self._folder, error) from None
