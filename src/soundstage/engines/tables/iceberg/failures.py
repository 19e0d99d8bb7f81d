"""What the exceptions of the driver, of the catalogue's database and of Arrow mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

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

T = TypeVar("T")
C = TypeVar("C")

Check: TypeAlias = Callable[[], None]
"""Raises where the engine has been stopped or the caller has gone."""


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
    MemoryError,
    *driver.declared(exceptions),
)
"""What calls of the driver raise, among them what it lets through from below."""

_ABSENT = (exceptions.NoSuchTableError, exceptions.NoSuchNamespaceError, exceptions.NoSuchIdentifierError)
OVERTAKEN = (exceptions.CommitFailedException, exceptions.ValidationException, exceptions.WaitingForLockException)


_LOGIN = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "requires a valid client certificate",
    "alert unknown ca",
    "alert certificate required",
)
_NOWHERE = ("FATAL:  database", "FATAL:  role")
"""What is said while connecting, when the driver tells no state."""
_DISTRUST = (
    "certificate verify failed",
    "does not match host name",
    "root certificate file",
    "could not read certificate file",
    "private key file",
    "server does not support SSL",
)
_CONNECTING = ("connection failed", "connection is bad", "connection timeout")
_DAMAGE = ("malformed", "not a database")
_UNKNOWN = {"08007", "40003"}
"""States in which nobody knows what became of the transaction."""
_REFUSED = {"08001", "08004", "57P03"}
"""And after which there was none."""
_PASSING = {"08", "25", "40", "55", "57", "58", "F0", "XX"}
"""Kinds of states that may be others a little later: the server's, not the statement's."""
_DEFECTS = (database.ArgumentError, database.InvalidRequestError, database.CompileError, database.UnboundExecutionError)


def translated(table: str, work: Callable[[C], T], check: C, reading: bool) -> T:
    """What `work` comes to, and its failure as one of the port's."""
    try:
        return work(check)
    except (SoundstageError, Overtaken):
        raise
    except ERRORS as error:
        raise failure(error, table, reading=reading) from error


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
    """Whether others wrote to the catalogue meanwhile, for longer than one waits or in each other's way."""
    if not isinstance(error, database.DBAPIError):
        return False
    state = _state(error)
    return (state.startswith("40") and state not in _UNKNOWN) or "database is locked" in str(error)


def _catalogue(error: BaseException, reading: bool) -> SoundstageError:
    words, state = _line(error), _state(error)
    if state.startswith("28") or any(each in words for each in _LOGIN):
        return Unauthenticated(
            f"the catalogue's database refuses: {words}",
            hint="check the role, password_file or password_env, and tls_cert",
            outcome="not_applied",
        )
    if any(each in words for each in _DISTRUST):
        return Unavailable(
            f"the catalogue's database cannot be trusted: {words}",
            hint="check tls_ca and tls_names, and that the database speaks TLS",
            outcome="not_applied",
            retryable=False,
        )
    if state == "42501" or "permission denied" in words:
        return Forbidden(f"the catalogue's database refuses: {words}", hint="grant the role the right")
    if state in ("3D000", "3F000") or any(each in words for each in _NOWHERE):
        return Unavailable(
            f"the catalogue's database is not there: {words}",
            hint="make it, or name another in the URL",
            outcome="not_applied",
            retryable=False,
        )
    if state.startswith("53") or "disk is full" in words:
        return Exhausted(
            f"the catalogue's database has no room: {words}",
            hint="allow it more connections, memory or disk",
            retry_after_ms=1_000,
            outcome="not_applied",
        )
    if state in ("XX001", "XX002") or any(each in words for each in _DAMAGE):
        return DataLoss(f"the catalogue's database is damaged: {words}", hint="restore it from a backup")
    if (state and state[:2] not in _PASSING) or (isinstance(error, _DEFECTS) and not state):
        return Internal(f"the catalogue's database takes no such statement: {words}", hint="please report it")
    before = state in _REFUSED or any(each in words for each in _CONNECTING)
    return Unavailable(
        f"the catalogue's database did not answer: {words}",
        hint="repeat the call; see to the database if it goes on",
        outcome="not_applied" if reading or before else "unknown",
    )


def _state(error: BaseException) -> str:
    """The five characters by which SQL names an error; empty where the database was not heard of."""
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


def _is_damage(error: BaseException) -> bool:
    """Whether metadata was read that is none: its parser's own errors are values that are wrong."""
    return type(error).__module__.startswith(("pydantic", "pyiceberg.avro"))


def _line(error: BaseException) -> str:
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0][:300]
