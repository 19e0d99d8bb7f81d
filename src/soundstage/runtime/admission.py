"""How much work a stage takes on at once, and how fast: bounds that refuse and never queue."""

from __future__ import annotations

import math
from collections.abc import Mapping

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, SoundstageError, Unavailable
from soundstage.core.namespace import PER_SECOND_MIN
from soundstage.runtime.config import AdmissionConfig, Quotas

_NS = 1_000_000_000


class Rate:
    """At most `per_second` calls over time; what a quiet period of `burst_ns` left unused may come at once.

    Kept as the instant at which the bucket would be empty again (the generic cell rate algorithm): one
    integer, and no refilling. Slower than `PER_SECOND_MIN` it is as slow as that.
    """

    __slots__ = ("_burst_ns", "_interval_ns", "_next_ns")

    def __init__(self, per_second: float, burst_ns: int) -> None:
        # A process's share of a small quota may come to less than any quota may be.
        self._interval_ns = max(1, round(_NS / max(per_second, PER_SECOND_MIN)))
        # A burst shorter than one call's share would let nothing through at all.
        self._burst_ns = max(burst_ns, self._interval_ns)
        self._next_ns = 0

    def take(self, now_ns: int) -> int:
        """0 when the call may go on; else nanoseconds after which it may, and nothing is taken."""
        early_ns = self.early_ns(now_ns)
        if early_ns > 0:
            return early_ns
        self.charge(now_ns, 1)
        return 0

    def early_ns(self, now_ns: int) -> int:
        """Nanoseconds after which the next call may go on; not above 0 when it may."""
        return max(self._next_ns, now_ns) + self._interval_ns - now_ns - self._burst_ns

    def charge(self, now_ns: int, count: int) -> None:
        """So many calls are taken at once, which may be more than are left: who comes next waits for them all."""
        self._next_ns = max(self._next_ns, now_ns) + count * self._interval_ns


class Gate:
    """The bounds of one namespace. `in_flight` is counted by the dispatcher."""

    __slots__ = ("in_flight", "limit", "name", "rated", "reads", "writes")

    def __init__(self, name: str, quotas: Quotas, config: AdmissionConfig) -> None:
        self.name: str = name
        self.in_flight: int = 0
        self.limit: int = 0
        self.rated: bool = False
        self.reads: Rate | None = None
        self.writes: Rate | None = None
        self.adjust(quotas, config)

    def adjust(self, quotas: Quotas, config: AdmissionConfig) -> None:
        """Bound by `quotas` from the next call on; calls under way stay counted."""
        share = config.share
        self.limit = (
            config.namespace_in_flight if quotas.in_flight is None else max(1, math.ceil(quotas.in_flight * share))
        )
        self.reads = None if quotas.reads_per_second is None else Rate(quotas.reads_per_second * share, quotas.burst)
        self.writes = None if quotas.writes_per_second is None else Rate(quotas.writes_per_second * share, quotas.burst)
        self.rated = self.reads is not None or self.writes is not None


class Admission:
    """The bounds of a stage. `in_flight` counts calls that run; `limit` is 0 while none may."""

    __slots__ = (
        "_closed",
        "_environment",
        "_retry_after_ms",
        "config",
        "gates",
        "in_flight",
        "limit",
        "refused",
        "unbounded",
    )

    def __init__(self, config: AdmissionConfig, environment: Environment) -> None:
        self.config: AdmissionConfig = config
        self.gates: dict[str, Gate] = {}
        self.unbounded: Gate = Gate("", Quotas(in_flight=1_000_000), config)
        self.in_flight: int = 0
        self.limit: int = 0
        self.refused: int = 0
        self._closed = "the stage is starting"
        self._environment = environment
        self._retry_after_ms = max(1, config.retry_after // 1_000_000)

    @property
    def closed(self) -> str | None:
        """Why no call is let in, or None while calls are."""
        return self._closed or None

    def open(self) -> None:
        """Calls are let in."""
        self._closed, self.limit = "", self.config.in_flight

    def close(self, reason: str) -> None:
        """Calls are refused with `reason`; those under way go on."""
        self._closed, self.limit = reason, 0

    def refusal(self) -> SoundstageError:
        """Why a call is not let in, when `in_flight` has reached `limit`."""
        self.refused += 1
        if self._closed:
            return Unavailable(
                self._closed, hint="retry, or ask another process", outcome="not_applied", retry_after_ms=1_000
            )
        return Exhausted(
            f"the stage is working on {self.in_flight} calls, its limit",
            hint="retry with fewer calls at a time, or raise admission.in_flight",
            retry_after_ms=self._retry_after_ms,
        )

    def gate_refusal(self, gate: Gate) -> Exhausted:
        """Why a call is not let in, when `gate.in_flight` has reached `gate.limit`."""
        self.refused += 1
        return Exhausted(
            f"namespace {gate.name!r} is working on {gate.in_flight} calls, its limit",
            hint="retry with fewer calls at a time, or raise quotas.in_flight of the namespace",
            retry_after_ms=self._retry_after_ms,
        )

    def take(self, rate: Rate, gate: Gate) -> None:
        """Count a call against a rate of `gate`. Raises `Exhausted` with the time to wait."""
        wait_ns = rate.take(self._environment.monotonic_ns())
        if wait_ns:
            raise self._over(rate, gate, wait_ns)

    def take_writes(self, counts: Mapping[str, int]) -> None:
        """Count writes against the namespaces of those names, all or none.

        Raises `Exhausted` where one has none left. So many as one has not are taken in advance: those that follow wait.
        """
        now_ns = self._environment.monotonic_ns()
        gates = [(self.gates[name], count) for name, count in counts.items() if name in self.gates]
        rates = [(gate.writes, gate, count) for gate, count in gates if gate.writes is not None]
        for rate, gate, _ in rates:
            wait_ns = rate.early_ns(now_ns)
            if wait_ns > 0:
                raise self._over(rate, gate, wait_ns)
        for rate, _, count in rates:
            rate.charge(now_ns, count)

    def _over(self, rate: Rate, gate: Gate, wait_ns: int) -> Exhausted:
        self.refused += 1
        kind = "reads_per_second" if rate is gate.reads else "writes_per_second"
        return Exhausted(
            f"namespace {gate.name!r} is over its quota {kind}",
            hint="retry after the time given, or raise the quota of the namespace",
            retry_after_ms=-(-wait_ns // 1_000_000),
        )
