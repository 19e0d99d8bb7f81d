"""How long calls took."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Measured(msgspec.Struct, frozen=True):
    """Calls of one kind: how many, and the time that half of them, and 99 in 100, stayed under."""

    calls: int
    p50_ms: float
    p99_ms: float


class Stopwatch:
    """Measures calls of one kind, on the wall."""

    def __init__(self) -> None:
        self._took_ns: list[int] = []

    async def of(self, call: Awaitable[T]) -> T:
        """What `call` gives, with its time noted; failures are not counted."""
        began_ns = time.perf_counter_ns()
        result = await call
        self._took_ns.append(time.perf_counter_ns() - began_ns)
        return result

    def measured(self) -> Measured:
        """The calls so far."""
        ordered = sorted(self._took_ns)
        return Measured(len(ordered), quantile(ordered, 0.5) / 1e6, quantile(ordered, 0.99) / 1e6)


def quantile(ordered: list[int], share: float) -> int:
    """The least of the sorted values that at least `share` of them do not exceed; 0 when there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0
