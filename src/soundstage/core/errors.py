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

    def __init_subclass__(
        cls,
        *,
        code: str | None = None,
        status: int | None = None,
        title: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        """A kind of error has what it names; the rest is its parent's."""
        super().__init_subclass__()
        cls.code = cls.code if code is None else code
        cls.status = cls.status if status is None else status
        cls.title = cls.title if title is None else title
        cls.retryable_by_default = cls.retryable_by_default if retryable is None else retryable

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
        self.retryable: bool = self.retryable_by_default if retryable is None else retryable
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


class InvalidArgument(SoundstageError, ValueError, code="invalid_argument", status=400, title="Invalid argument"):
    """The request breaks a rule that no retry can mend."""


class TokenDrift(InvalidArgument, code="token_drift", status=422, title="Token drift"):
    """An idempotency token was generated too long ago, or in the future."""


class Unauthenticated(SoundstageError, code="unauthenticated", status=401, title="Unauthenticated"):
    """No credentials, or none that this stage knows."""


class Forbidden(SoundstageError, code="forbidden", status=403, title="Forbidden"):
    """The caller is known and may not do this."""


class NotFound(SoundstageError, LookupError, code="not_found", status=404, title="Not found"):
    """What the request names does not exist."""


class AlreadyExists(SoundstageError, code="already_exists", status=409, title="Already exists"):
    """What the request would create is there already."""


class InProgress(SoundstageError, code="in_progress", status=409, title="In progress", retryable=True):
    """A request with the same idempotency key is still being worked on."""


class PreconditionFailed(SoundstageError, code="precondition_failed", status=412, title="Precondition failed"):
    """A condition or an expected version does not hold; nothing was changed."""


class TooLarge(SoundstageError, code="too_large", status=413, title="Too large"):
    """A body, value, batch or page is over its limit."""


class TokenReused(SoundstageError, code="token_reused", status=422, title="Token reused"):
    """Another request was already made under this token or key."""


class Exhausted(SoundstageError, code="exhausted", status=429, title="Exhausted", retryable=True):
    """A quota, queue or rate is full; nothing was done. Retry after `retry_after_ms`."""


class Internal(SoundstageError, code="internal", status=500, title="Internal error"):
    """A defect of Soundstage; the log has the details under the request id."""


class DataLoss(SoundstageError, code="data_loss", status=500, title="Data loss"):
    """Stored bytes are damaged or missing."""


class Unavailable(SoundstageError, code="unavailable", status=503, title="Unavailable", retryable=True):
    """A part this call needs is down or refuses; `outcome` says what became of a write."""


class DeadlineExceeded(SoundstageError, code="deadline", status=504, title="Deadline exceeded"):
    """The deadline passed; `outcome` says what became of a write."""


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
