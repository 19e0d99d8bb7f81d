"""What engines say when they refuse a call, alike on every engine."""

from __future__ import annotations

from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Outcome,
    PreconditionFailed,
    Unavailable,
)
from soundstage.engines.tables.port import MAIN


def stopped(outcome: Outcome = "not_applied") -> Unavailable:
    return Unavailable("the engine is stopped", outcome=outcome, retryable=False)


def late(outcome: Outcome = "not_applied") -> DeadlineExceeded:
    hint = (
        "allow more time" if outcome == "not_applied" else "look whether the change is there before you make it again"
    )
    return DeadlineExceeded("the deadline passed before the call ended", hint=hint, outcome=outcome)


def no_table(name: str) -> NotFound:
    return NotFound(f"there is no table {name!r}", hint="list those that there are")


def exists(name: str) -> AlreadyExists:
    return AlreadyExists(f"the table {name!r} exists", hint="choose another name, or drop it")


def no_snapshot(name: str, what: object) -> NotFound:
    return NotFound(f"the table {name!r} has no snapshot {what}", hint="it may have expired")


def no_branch(name: str, branch: str) -> NotFound:
    return NotFound(f"the table {name!r} has no branch {branch!r}", hint="make it by pointing it at a snapshot")


def moved(branch: str, found: int, expected: int) -> PreconditionFailed:
    return PreconditionFailed(
        f"the branch {branch!r} is at snapshot {found}, not at {expected}", hint="read it again, and decide anew"
    )


def main_stays() -> InvalidArgument:
    return InvalidArgument(
        f"every table has the branch {MAIN!r}", field="branch", hint="drop the table, or point it back"
    )
