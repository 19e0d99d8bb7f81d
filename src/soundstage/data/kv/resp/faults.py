"""Errors as replies. The first word is stable, and clients of Redis know most of them."""

from __future__ import annotations

from soundstage.core.errors import SoundstageError

PREFIXES = {
    "invalid_argument": "ERR",
    "token_drift": "ERR",
    "token_reused": "ERR",
    "already_exists": "ERR",
    "not_found": "NOTFOUND",
    "unauthenticated": "NOAUTH",
    "forbidden": "NOPERM",
    "precondition_failed": "CONFLICT",
    "in_progress": "CONFLICT",
    "too_large": "TOOLARGE",
    "exhausted": "EXHAUSTED",
    "unavailable": "UNAVAILABLE",
    "deadline": "DEADLINE",
    "data_loss": "DATALOSS",
    "internal": "INTERNAL",
}
"""The first word of the reply for each code of the error tree."""


class CommandError(Exception):
    """A command that is answered with an error; `line` begins with the error's first word."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line

    @property
    def code(self) -> str:
        """What the error is counted as: its first word."""
        return self.line.partition(" ")[0]


WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


def wrong_type() -> CommandError:
    """The key holds a string where a hash is wanted, or the reverse."""
    return CommandError(WRONG_TYPE)


def syntax() -> CommandError:
    return CommandError("ERR syntax error")


def line_of(failure: SoundstageError) -> str:
    """What is wrong and what to do, after the word for its kind; of a write that may have been done it says so."""
    parts = [f"{PREFIXES.get(failure.code, 'INTERNAL')} {failure.detail}"]
    if failure.outcome == "unknown":
        parts.append("it may or may not have been done")
    if failure.retry_after_ms is not None:
        parts.append(f"retry after {failure.retry_after_ms} ms")
    if failure.hint:
        parts.append(failure.hint)
    return "; ".join(parts)
