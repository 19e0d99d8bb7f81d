"""What the exceptions of the driver, of the catalogue's database and of Arrow mean."""

from __future__ import annotations

from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    Exhausted,
    Forbidden,
    Internal,
    SoundstageError,
    Unauthenticated,
    Unavailable,
)
from soundstage.engines.tables import refusals
from soundstage.engines.tables.iceberg import driver
from soundstage.engines.tables.iceberg.driver import arrow, database, exceptions


class Overtaken(Exception):
    """Another change of the table was quicker; never leaves the engine, which makes its own again."""


ERRORS: tuple[type[Exception], ...] = (
    database.SQLAlchemyError,
    database.EmulatedDBAPIException,
    arrow.ArrowException,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    *driver.declared(exceptions),
)
"""What calls of the driver raise, among them what it lets through from below."""

_ABSENT = (exceptions.NoSuchTableError, exceptions.NoSuchNamespaceError, exceptions.NoSuchIdentifierError)
OVERTAKEN = (exceptions.CommitFailedException, exceptions.ValidationException, exceptions.WaitingForLockException)


def failure(error: BaseException, table: str, *, reading: bool) -> SoundstageError:
    """What `error` means to who called for `table`. Raises `Overtaken` for changes that may be made again."""
    if isinstance(error, SoundstageError):
        return error
    if isinstance(error, _ABSENT):
        return refusals.no_table(table)
    if isinstance(error, exceptions.TableAlreadyExistsError):
        return refusals.exists(table)
    if isinstance(error, OVERTAKEN) or is_locked(error):
        raise Overtaken from error
    if isinstance(error, database.IntegrityError):
        return AlreadyExists(f"{table!r} was made by another at the same moment", hint="look whether it is yours")
    if isinstance(error, database.SQLAlchemyError):
        return _catalogue(error, reading)
    if isinstance(error, FileNotFoundError):
        return Unavailable(
            f"a file of the table {table!r} is gone: {_line(error)}",
            hint="it was expired or dropped while it was read, or somebody has removed files; read the table anew",
            outcome="not_applied",
        )
    if isinstance(error, OSError) and not isinstance(error, arrow.ArrowException):
        return Unavailable(
            f"the disk of the tables refuses: {_line(error)}",
            hint="free some space, or check that this user may write there",
            outcome="not_applied" if reading else "unknown",
        )
    if isinstance(error, MemoryError):
        return Exhausted(
            f"there is no memory for the table {table!r}: {_line(error)}",
            hint="lower the engine's options file and threads",
            retry_after_ms=1_000,
            outcome="not_applied" if reading else "unknown",
        )
    if isinstance(error, exceptions.CommitStateUnknownException):
        return Unavailable(f"it is not known what became of the change: {_line(error)}", outcome="unknown")
    if isinstance(error, (arrow.ArrowException, exceptions.ResolveError)) or _is_damage(error):
        return DataLoss(
            f"what the table {table!r} has on disk cannot be read: {_line(error)}", hint="restore it from a backup"
        )
    return Internal(f"the driver of Iceberg failed: {type(error).__name__} {_line(error)}")


def busy(table: str) -> Unavailable:
    """What is said of a call that is not made again here, when others were quicker."""
    return Unavailable(
        f"others write to the catalogue or to {table!r} at this moment", hint="repeat the call", outcome="not_applied"
    )


def is_locked(error: BaseException) -> bool:
    """Whether the catalogue was being written to by another for longer than one waits."""
    return isinstance(error, database.OperationalError) and "database is locked" in str(error)


def _catalogue(error: BaseException, reading: bool) -> SoundstageError:
    words = _line(error)
    if "password authentication failed" in words or "no password supplied" in words:
        return Unauthenticated(
            f"the catalogue's database refuses: {words}", hint="check the role and password_file", outcome="not_applied"
        )
    if "permission denied" in words:
        return Forbidden(f"the catalogue's database refuses: {words}", hint="grant the role the right")
    connecting = any(each in words for each in ("connection failed", "connection is bad", "connection timeout"))
    return Unavailable(
        f"the catalogue's database did not answer: {words}",
        hint="repeat the call; see to the database if it goes on",
        outcome="not_applied" if reading or connecting else "unknown",
    )


def _is_damage(error: BaseException) -> bool:
    """Whether metadata was read that is none: its parser's own errors are values that are wrong."""
    return type(error).__module__.startswith(("pydantic", "pyiceberg.avro"))


def _line(error: BaseException) -> str:
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0][:300]
