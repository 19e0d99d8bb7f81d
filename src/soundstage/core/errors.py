"""The one tree of errors that every part of Soundstage raises.

    SoundstageError
    ├── InvalidArgument (ValueError)      400  the request is wrong; fix it
    │   └── TokenDrift                    422  the token's time is too far from now
    ├── Unauthenticated                   401  no or unknown credentials
    ├── Forbidden                         403  known, but not allowed
    ├── NotFound (LookupError)            404
    ├── AlreadyExists                     409
    ├── InProgress                        409  the same idempotency key is being worked on
    ├── PreconditionFailed                412  a condition or an expected version did not hold
    ├── TooLarge                          413
    ├── TokenReused                       422  another request was sent under this token
    ├── Exhausted                         429  a quota, queue or rate is full; wait and retry
    ├── Internal                          500  a defect of ours
    ├── DataLoss                          500  stored bytes are damaged
    ├── Unavailable                       503  a part is down; retry where `retryable`
    └── DeadlineExceeded                  504

Each carries what is wrong (`str(error)`), `field` (path of the offending field), `hint` (what to do),
`retryable`, and for deadline and unavailable an `outcome`. `problem` and `from_problem` convert to and
from the RFC 9457 map that the wire carries, so a remote caller catches the very same classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

T = TypeVar("T")

Outcome: TypeAlias = Literal["unknown", "not_applied"]


class SoundstageError(Exception):
    """Root of the tree; never raised itself."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    retryable_by_default: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
        retry_after_ms: int | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.hint = hint
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.retry_after_ms = retry_after_ms
        self.outcome: Outcome | None = outcome
        self.request_id: str | None = None

    def problem(self, request_id: str | None = None) -> dict[str, Any]:
        """The error as an RFC 9457 map; members without a value are left out."""
        members: dict[str, Any] = {
            "type": f"urn:soundstage:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "field": self.field,
            "code": self.code,
            "hint": self.hint,
            "retryable": self.retryable,
            "retry_after_ms": self.retry_after_ms,
            "outcome": self.outcome,
            "request_id": request_id or self.request_id,
        }
        return {name: value for name, value in members.items() if value is not None}


class InvalidArgument(SoundstageError, ValueError):
    """The request breaks a rule that no retry can mend."""

    code, status, title = "invalid_argument", 400, "Invalid argument"


class TokenDrift(InvalidArgument):
    """An idempotency token was generated too long ago, or in the future."""

    code, status, title = "token_drift", 422, "Token drift"


class Unauthenticated(SoundstageError):
    """No credentials, or none that this stage knows."""

    code, status, title = "unauthenticated", 401, "Unauthenticated"


class Forbidden(SoundstageError):
    """The caller is known and may not do this."""

    code, status, title = "forbidden", 403, "Forbidden"


class NotFound(SoundstageError, LookupError):
    """What the request names does not exist."""

    code, status, title = "not_found", 404, "Not found"


class AlreadyExists(SoundstageError):
    """What the request would create is there already."""

    code, status, title = "already_exists", 409, "Already exists"


class InProgress(SoundstageError):
    """A request with the same idempotency key is still being worked on."""

    code, status, title = "in_progress", 409, "In progress"
    retryable_by_default = True


class PreconditionFailed(SoundstageError):
    """A condition or an expected version does not hold; nothing was changed."""

    code, status, title = "precondition_failed", 412, "Precondition failed"


class TooLarge(SoundstageError):
    """A body, value, batch or page is over its limit."""

    code, status, title = "too_large", 413, "Too large"


class TokenReused(SoundstageError):
    """Another request was already made under this token or key."""

    code, status, title = "token_reused", 422, "Token reused"


class Exhausted(SoundstageError):
    """A quota, queue or rate is full; nothing was done. Retry after `retry_after_ms`."""

    code, status, title = "exhausted", 429, "Exhausted"
    retryable_by_default = True


class Internal(SoundstageError):
    """A defect of Soundstage; the log has the details under the request id."""

    code, status, title = "internal", 500, "Internal error"


class DataLoss(SoundstageError):
    """Stored bytes are damaged or missing."""

    code, status, title = "data_loss", 500, "Data loss"


class Unavailable(SoundstageError):
    """A part this call needs is down or refuses; `outcome` says what became of a write."""

    code, status, title = "unavailable", 503, "Unavailable"
    retryable_by_default = True


class DeadlineExceeded(SoundstageError):
    """The deadline passed; `outcome` says what became of a write."""

    code, status, title = "deadline", 504, "Deadline exceeded"


ERRORS: dict[str, type[SoundstageError]] = {
    error.code: error
    for error in (
        InvalidArgument,
        TokenDrift,
        Unauthenticated,
        Forbidden,
        NotFound,
        AlreadyExists,
        InProgress,
        PreconditionFailed,
        TooLarge,
        TokenReused,
        Exhausted,
        Internal,
        DataLoss,
        Unavailable,
        DeadlineExceeded,
    )
}


def from_problem(problem: Mapping[str, Any]) -> SoundstageError:
    """The error that `problem` describes; a code this release does not know becomes `Internal`.

    Members of a wrong type are taken as absent, since what stands between may answer in our stead.
    """
    outcome = problem.get("outcome")
    error = ERRORS.get(str(problem.get("code")), Internal)(
        _member(problem, "detail", str) or "the server gave no detail",
        field=_member(problem, "field", str),
        hint=_member(problem, "hint", str),
        retryable=problem.get("retryable") is True,
        retry_after_ms=_member(problem, "retry_after_ms", int),
        outcome=outcome if outcome in ("unknown", "not_applied") else None,
    )
    error.request_id = _member(problem, "request_id", str)
    return error


def _member(problem: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    value = problem.get(name)
    return value if type(value) is kind else None
