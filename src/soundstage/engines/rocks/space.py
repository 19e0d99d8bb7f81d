"""Refuses to fill the disk: a full one cannot even delete."""

from __future__ import annotations

from collections.abc import Callable

from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable
from soundstage.engines.rocks.refusals import unusable

CHECK_EVERY_NS = 1_000_000_000
CHECK_EVERY_BYTES = 8 << 20
RESERVE_SHARE = 8
RESERVE_MAX_BYTES = 32 << 20
"""The last eighth below the mark, or so much, is for nobody; what is above it, for the stage's own small writes."""


class LowWater:
    """Watches the free space of a folder's disk, at most once a second or every 8 MiB written.

    `probe` tells how many bytes are free, or raises `OSError`.
    """

    def __init__(self, folder: str, low_water: int, environment: Environment, probe: Callable[[str], int]) -> None:
        self._folder = folder
        self._low_water = low_water
        self._reserve = min(low_water // RESERVE_SHARE, RESERVE_MAX_BYTES)
        self._monotonic_ns = environment.monotonic_ns
        self._probe = probe
        self._checked_ns: int | None = None
        self._written = 0
        self._free = 0

    def check(self, size: int, *, own: bool = False) -> None:
        """Raise `Unavailable` when the disk is too full for a write of `size` bytes.

        With `own` it is one of the stage's own, without which it could not even clear away: refused far later.
        """
        mark = self._reserve if own else self._low_water
        now_ns = self._monotonic_ns()
        self._written += size
        if (
            self._checked_ns is None
            or now_ns - self._checked_ns >= CHECK_EVERY_NS
            or self._written >= CHECK_EVERY_BYTES
            or self._free - self._written < mark
        ):
            self._checked_ns, self._written = now_ns, size
            self._free = self._probed()
        if self._free - self._written < mark:
            raise Unavailable(
                self._short(),
                hint="free some space, or delete records: deletes are still taken",
                outcome="not_applied",
                retry_after_ms=5_000,
            )

    @property
    def warning(self) -> str | None:
        """That writes are refused, and the figures; None while there is room. The disk is asked."""
        try:
            self._free, self._written = self._probed(), 0
        except Unavailable as error:
            return str(error)
        return f"writes are refused: {self._short()}" if self._free < self._low_water else None

    def _short(self) -> str:
        return f"the disk of {self._folder} has {self._free} bytes left; the low-water mark is {self._low_water}"

    def _probed(self) -> int:
        try:
            return self._probe(self._folder)
        except OSError as error:
            raise unusable(self._folder, error) from None
