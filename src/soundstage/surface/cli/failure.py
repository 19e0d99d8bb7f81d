"""How a command ends: exit codes, and problems as people and programs read them.

0 done · 1 the operation failed · 2 usage or configuration · 3 not reachable
"""

from __future__ import annotations

import logging
import re
import sys

import msgspec

from soundstage.core.errors import DataLoss, Internal, InvalidArgument, SoundstageError
from soundstage.surface.cli.commands import systems
from soundstage.surface.cli.notation import harmless

log: logging.Logger = logging.getLogger("soundstage.cli")

DONE = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130


class CommandFailure(Exception):
    """Ends a command with `exit_code`, after `error` has been printed."""

    def __init__(self, error: SoundstageError, exit_code: int) -> None:
        super().__init__(error.detail)
        self.error = error
        self.exit_code = exit_code


def not_started(error: SoundstageError) -> CommandFailure:
    """A stage could not start: by what it was given or found configured, unless its data is damaged."""
    return CommandFailure(error, FAILED if isinstance(error, DataLoss | Internal) else USAGE)


def defect_at_start(error: Exception) -> CommandFailure:
    """A stage could not start for a reason that nobody foresaw: told in one line, and to the log in full."""
    log.debug("the stage cannot start", exc_info=error)
    return CommandFailure(
        Internal(
            f"the stage cannot start: {type(error).__name__}: {error}",
            hint="SOUNDSTAGE_TELEMETRY__LOG_LEVEL=debug shows where; please report it",
        ),
        USAGE,
    )


def usage(detail: str, hint: str | None = None, field: str | None = None) -> CommandFailure:
    """The command was called wrongly."""
    return CommandFailure(InvalidArgument(detail, hint=hint, field=field), USAGE)


def report(failure: CommandFailure, as_json: bool) -> None:
    """The problem stands on standard error: as JSON, as one line for usage and configuration, else in full."""
    if as_json:
        text = msgspec.json.encode(failure.error.problem()).decode()
    elif failure.exit_code == USAGE:
        text = line_of(failure.error)
    else:
        text = _paragraph(failure.error)
    print(text, file=sys.stderr)


def line_of(error: SoundstageError) -> str:
    """The problem as one line: field, what is wrong, what to do."""
    where = f"{error.field}: " if error.field and error.field not in error.detail else ""
    hint = f" ({typed(error.hint)})" if error.hint else ""
    return harmless(" ".join(f"soundstage: {where}{error.detail}{hint}".split()))


def typed(hint: str) -> str:
    """`hint` with operations as they are typed here: `soundstage namespaces put` for `namespaces/put`."""
    return _OPERATION.sub(_command, hint)


_OPERATION = re.compile(r"(?<![\w/.`-])([a-z]+)/([a-z_]+)(?![\w/.])")


def _command(found: re.Match[str]) -> str:
    return f"`soundstage {found[1]} {found[2].replace('_', '-')}`" if found[1] in systems() else found[0]


def _paragraph(error: SoundstageError) -> str:
    outcome = {"unknown": "unknown: it may have been applied", "not_applied": "not applied"}
    lines = {
        "code": error.code,
        "field": error.field,
        "hint": None if error.hint is None else typed(error.hint),
        "outcome": outcome.get(error.outcome or ""),
        "retry": None if error.retry_after_ms is None else f"after {error.retry_after_ms} ms",
        "request": error.request_id,
    }
    return "\n".join(
        (
            harmless(f"soundstage: {error.detail}"),
            *(harmless(f"  {name}: {value}") for name, value in lines.items() if value),
        )
    )
