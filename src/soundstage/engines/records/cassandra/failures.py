"""What the driver's exceptions mean, and whether the same request may be sent again."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, NamedTuple

from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    Internal,
    NotFound,
    Outcome,
    SoundstageError,
    Unauthenticated,
    Unavailable,
)
from soundstage.engines.records.cassandra.driver import cluster, connection, pool, protocol, root
from soundstage.engines.secret import PLACES

TOO_MANY_TOMBSTONES = 1
"""The server's reason, in a failed read, for having met too many deleted rows."""


class Failed(Exception):
    """What the driver said, on its way through the engine; never leaves it."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause: BaseException = cause


class TooManyTombstones(Exception):
    """A read passed more deleted rows than a node allows; never leaves the engine, which reads smaller ranges."""


class Overgrown(Unavailable):
    """A record has so many deleted rows that Cassandra cannot be asked for it piece by piece.

    It says the same to every repetition, for as long as tombstones are kept. `token`: where on the ring, if a walk
    met it.
    """

    def __init__(self, token: int | None = None) -> None:
        super().__init__(
            "a record has too many deleted rows",
            hint="compact the table in Cassandra",
            outcome="not_applied",
            retryable=False,
        )
        self.token: int | None = token


class TooSlow(Exception):
    """A scan of a part of the ring did not end in time; never leaves the engine, which reads smaller parts."""


class Failure(NamedTuple):
    """What is said to the caller in the end; `again`: meanwhile the same request may be sent once more."""

    error: SoundstageError
    again: bool


_REFUSED: tuple[type[BaseException], ...] = (
    root.Unavailable,
    protocol.OverloadedErrorMessage,
    protocol.IsBootstrappingErrorMessage,
    protocol.UnavailableErrorMessage,
    protocol.PreparedQueryNotFound,
    pool.NoConnectionsAvailable,
    connection.ConnectionBusy,
)
"""Said before anything was done."""

_LOGIN: tuple[type[BaseException], ...] = (root.AuthenticationFailed, protocol.BadCredentials)
_RIGHTS: tuple[type[BaseException], ...] = (root.Unauthorized, protocol.UnauthorizedErrorMessage)
_REQUEST: tuple[type[BaseException], ...] = (
    root.RequestValidationException,
    root.UnsupportedOperation,
    root.FunctionFailure,
    protocol.RequestValidationException,
    protocol.NotSupportedError,
    protocol.ProtocolException,
    root.DependencyException,
)


def failure(error: BaseException, *, reading: bool = False) -> Failure:
    """What `error`, of the driver, means. `reading`: nothing could have been changed by the request."""
    if isinstance(error, SoundstageError):
        return Failure(error, again=False)
    if isinstance(error, cluster.NoHostAvailable):
        return _no_host(error, reading)
    if isinstance(error, _LOGIN):
        return Failure(_login(error), again=False)
    if isinstance(error, _RIGHTS):
        return Failure(
            Forbidden(f"Cassandra refuses: {_line(error)}", hint="grant the role the right", outcome="not_applied"),
            again=False,
        )
    if isinstance(error, _REQUEST) and not isinstance(error, _REFUSED):
        return Failure(_wrong(error), again=False)
    refused = isinstance(error, _REFUSED)
    outcome: Outcome = "not_applied" if refused or reading else "unknown"
    if isinstance(error, protocol.OverloadedErrorMessage):
        return Failure(
            Exhausted("Cassandra has too much to do", hint="ask less often", retry_after_ms=200, outcome=outcome),
            again=True,
        )
    return Failure(
        Unavailable(
            f"Cassandra did not answer: {_line(error)}",
            hint="repeat the call, with the same token; see to the cluster if it goes on",
            outcome=outcome,
        ),
        again=True,
    )


def is_too_many_tombstones(error: BaseException) -> bool:
    """Whether a read failed for the deleted rows that it met."""
    codes: dict[str, int] = getattr(error, "error_code_map", None) or {}
    return isinstance(error, root.ReadFailure) and TOO_MANY_TOMBSTONES in codes.values()


def is_out_of_time(error: BaseException) -> bool:
    """Whether this client waited for as long as it was told to."""
    return isinstance(error, root.OperationTimedOut)


def is_too_slow(error: BaseException) -> bool:
    """Whether nodes, or this client, gave a read up for taking too long."""
    return isinstance(error, (root.ReadTimeout, root.OperationTimedOut))


def gave_up(last: SoundstageError, outcome: Outcome) -> SoundstageError:
    """What is said when the time is over; `outcome` is of all attempts together."""
    kind = Exhausted if isinstance(last, Exhausted) else Unavailable
    return kind(
        last.detail, hint=last.hint, outcome=outcome, retry_after_ms=last.retry_after_ms, retryable=last.retryable
    )


def remember(last: SoundstageError, outcome: Outcome) -> None:
    """`last`, which ends a call, tells of the attempts before it too, whose `outcome` may be unknown."""
    if outcome == "unknown" and last.outcome is not None:
        last.outcome = outcome


@contextmanager
def patient(deadline_ns: int | None) -> Generator[None]:
    """Who set no deadline and runs out of time has met a cluster that is too slow: `Unavailable`."""
    try:
        yield
    except DeadlineExceeded as last:
        if deadline_ns is not None:
            raise
        raise Unavailable(
            "Cassandra did not carry the call out in time",
            hint="repeat the call, with the same token; see to the cluster if it goes on",
            outcome=last.outcome,
        ) from last


def late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before the call", hint="allow more time", outcome="not_applied")


def _no_host(error: Any, reading: bool) -> Failure:
    causes = _causes(error.errors)
    for cause in causes:
        if isinstance(cause, (*_LOGIN, *_RIGHTS)):
            return failure(cause, reading=reading)
    # A connection that broke may have carried the request.
    refused = reading or all(isinstance(cause, (*_REFUSED, ConnectionRefusedError)) for cause in causes)
    why = "; ".join(sorted({_line(cause) for cause in causes})) or "no node is up"
    return Failure(
        Unavailable(
            f"no node of Cassandra can be used: {why}",
            hint="see that the nodes run and that the URL names them",
            outcome="not_applied" if refused else "unknown",
        ),
        again=True,
    )


def _causes(errors: Any) -> list[BaseException]:
    found: Iterable[Any] = errors.values() if hasattr(errors, "values") else errors or ()
    return [each for each in found if isinstance(each, BaseException)]


def _login(error: BaseException) -> Unauthenticated:
    return Unauthenticated(
        f"Cassandra does not let us in: {_line(error)}",
        hint=f"check user and {PLACES}",
        outcome="not_applied",
    )


def _wrong(error: BaseException) -> SoundstageError:
    text = _line(error)
    if "unconfigured table" in text or ("eyspace" in text and "does not exist" in text):
        return NotFound(f"Cassandra has it no more: {text}", hint="ask again: the tables are being read anew")
    return Internal(f"Cassandra refuses a statement: {text}", hint="this is a defect; please report it")


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
