"""What calls did, counted in plain integers: a call must not pay for its own metrics."""

from __future__ import annotations

from bisect import bisect_left

LATENCY_BOUNDS_NS: tuple[int, ...] = tuple(step * 10**exponent for exponent in range(3, 10) for step in (1, 2, 5))[3:]
"""10 µs to 5 s, three a decade; beyond is one more bucket."""


class Histogram:
    """Counts of observations by bucket, with their sum. `bounds` are inclusive upper bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...] = LATENCY_BOUNDS_NS) -> None:
        self.bounds: tuple[int, ...] = bounds
        self.counts: list[int] = [0] * (len(bounds) + 1)
        self.total: int = 0

    def observe(self, value: int, weight: int = 1) -> None:
        """Count `value`; a sampled one stands for `weight`."""
        self.counts[bisect_left(self.bounds, value)] += weight
        self.total += value * weight

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, share: float) -> int:
        """The upper bound of the bucket in which `share` of the observations end; 0 without any."""
        wanted = share * self.count
        seen = 0
        for bound, count in zip((*self.bounds, self.bounds[-1]), self.counts, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return 0


class CallStatistics:
    """Of one operation. `calls` counts those begun; `latency` is in nanoseconds, see `SAMPLED`."""

    __slots__ = ("calls", "cancelled", "failures", "latency")

    SAMPLED = 16
    """Of calls in process one in so many is timed, and counts for all of them."""

    def __init__(self) -> None:
        self.calls: int = 0
        self.cancelled: int = 0
        self.failures: dict[str, int] = {}
        self.latency: Histogram = Histogram()

    def failed(self, code: str) -> None:
        """Count a call that ended with the error `code`."""
        self.failures[code] = self.failures.get(code, 0) + 1
