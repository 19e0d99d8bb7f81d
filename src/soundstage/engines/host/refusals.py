"""What is said when the process that has an engine cannot be asked."""

from __future__ import annotations

from soundstage.core.errors import Exhausted, InvalidArgument, TooLarge, Unavailable
from soundstage.engines.host.frames import FRAME_MAX_BYTES


def stopped() -> Unavailable:
    return Unavailable("the engine is stopped", outcome="not_applied", retryable=False)


def absent(engine: str, reason: str) -> Unavailable:
    """The call was not sent."""
    return Unavailable(
        f"the process that has the engine {engine!r} cannot be reached: {reason}",
        hint="retry; start that process if none runs",
        outcome="not_applied",
        retry_after_ms=200,
    )


def lost(engine: str) -> Unavailable:
    """The call was sent, and nobody will tell what became of it."""
    return Unavailable(
        f"the process that has the engine {engine!r} went away during the call",
        hint="repeat it, a write under the same token",
        outcome="unknown",
    )


def other_release(asked: str, ours: str) -> InvalidArgument:
    return InvalidArgument(
        f"the engine is in a process of release {ours}, this one is of {asked}",
        hint="run both from the same installation",
    )


def other_clock() -> InvalidArgument:
    return InvalidArgument(
        "the engine is in a process with another monotonic clock, by which no deadline can be kept",
        hint="run both on the same machine, outside time namespaces",
    )


def full(waiting: int) -> Exhausted:
    return Exhausted(
        f"{waiting} calls wait for the process that has the engine",
        hint="make fewer calls at a time",
        retry_after_ms=100,
    )


def too_large(what: str, size: int) -> TooLarge:
    return TooLarge(f"{what} has {size} bytes, the limit is {FRAME_MAX_BYTES}", hint="ask for less at a time")
