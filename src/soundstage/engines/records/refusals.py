"""What engines say when they refuse a call, alike on every engine."""

from __future__ import annotations

from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    TokenReused,
    Unavailable,
)
from soundstage.core.time import Instant
from soundstage.engines.records.port import Condition, Stamp, TableSpec

KEY_SHOWN_BYTES = 64
"""Of a key in a message."""

FIXED_SETTINGS = ("conditional", "key_order", "dedicated")


def stopped() -> Unavailable:
    return Unavailable(
        "the engine is stopped", hint="ask the process that runs now", outcome="not_applied", retryable=False
    )


def no_table(name: str) -> NotFound:
    return NotFound(f"there is no table {name!r}", hint="create the namespace it belongs to")


def fenced_out(table: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"the table {table} is filled by another, or by nobody any more", hint="leave it to whoever fills it now"
    )


def check_fixed_settings(known: TableSpec, asked: TableSpec) -> None:
    """Raises `AlreadyExists` when a table would have to change what is fixed at its creation."""
    for field in FIXED_SETTINGS:
        if getattr(known, field) != getattr(asked, field):
            raise AlreadyExists(
                f"the table {known.name} exists with another {field}",
                field=field,
                hint="copy it into a table with the other setting",
            )
    if known.conditional and known.scope != asked.scope:
        # Who decides among all copies and who decides among some of them do not hear of one another.
        raise AlreadyExists(
            f"the table {known.name} takes conditions, which are decided by the copies of another scope",
            field="scope",
            hint="copy it into a table with the other setting",
        )


def deadline_passed() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before the write", hint="allow more time", outcome="not_applied")


def takes_no_conditions(table: str) -> InvalidArgument:
    return InvalidArgument(
        f"the table {table} takes no conditions", field="condition", hint="conditional_writes is set at creation"
    )


class DecidedElsewhere(InvalidArgument):
    """Another process may carry out the call: one that asks the region where the table is decided."""


def decided_elsewhere(table: str, region: str) -> DecidedElsewhere:
    return DecidedElsewhere(
        f"writes and serial reads of the table {table} are decided in the data centre {region!r} alone, where it was "
        "made, and this process asks another one",
        field="namespace",
        hint=f"ask a process whose engine has local_dc = {region!r}, or use a namespace of global scope",
    )


def token_reused(token: str) -> TokenReused:
    return TokenReused(f"the token {token!r} named another request", hint="use a token of its own")


def written_ahead(stamp_us: int) -> Unavailable:
    stamp = Instant(stamp_us * 1_000).rfc3339()
    return Unavailable(
        f"the write would be stamped {stamp}, which is too far ahead: the record was written by a fast clock",
        hint="repeat the call, with the same token, when that time has come",
        outcome="not_applied",
    )


def condition_failed(condition: Condition, actual: Stamp | None) -> PreconditionFailed:
    """`actual` is the stamp found where `condition` looked, None where it found nothing."""
    key = condition.key
    what = "the record" if key is None else f"the item {_shown(key)}{'…' * (len(key) > KEY_SHOWN_BYTES)}"
    where = (
        "absent" if actual is None else f"at the token {actual.token!r} of {Instant(actual.time_us * 1_000).rfc3339()}"
    )
    return PreconditionFailed(
        f"{what} is {where}", field="condition", hint="read it again and decide anew, with another token"
    )


def _shown(key: bytes) -> str:
    """The beginning of a key as text where it is some, else as Python writes bytes."""
    shown = key[:KEY_SHOWN_BYTES]
    try:
        text = shown.decode()
    except UnicodeDecodeError:
        return repr(shown)
    return repr(text)
