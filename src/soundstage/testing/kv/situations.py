"""What must occur often enough for a run against the model to mean anything."""

from __future__ import annotations

from collections import Counter

REQUIRED = (
    "equal_us",
    "reused_token",
    "late_under_record",
    "late_under_range",
    "late_under_marker",
    "late_under_expired",
    "expiry_boundary",
    "retry_after_overwrite",
)
"""Each in at least one of a hundred steps, by `semantics.md`."""

SHARE = 0.01


class Situations(Counter[str]):
    """How often each occurred; under `steps`, how many steps there were."""

    def missed(self) -> dict[str, float]:
        """The required ones that are too rare, with their share of the steps."""
        shares = {name: self[name] / max(1, self["steps"]) for name in REQUIRED}
        return {name: share for name, share in shares.items() if share < SHARE}
