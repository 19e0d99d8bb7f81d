"""What the driver's exceptions and the server's refusals mean, and whether the same request may be sent again."""

from __future__ import annotations

from typing import Any, NamedTuple

from soundstage.core.errors import (
    Exhausted,
    Forbidden,
    Internal,
    Outcome,
    SoundstageError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from soundstage.engines.blobs.s3.driver import aiohttp, exceptions


class Missing(Exception):
    """There is no such object or upload; never leaves the engine."""


class Changed(Exception):
    """The object is not, or no longer, as the request wanted it; never leaves the engine."""


class OutOfRange(Exception):
    """The object has no such bytes; never leaves the engine."""


class Failure(NamedTuple):
    """What is said to the caller in the end; `again`: meanwhile the same request may be sent once more."""

    error: SoundstageError
    again: bool


_MISSING = {"NoSuchKey", "NoSuchUpload", "NotFound", "404"}
_CHANGED = {"PreconditionFailed", "412"}
_OUT_OF_RANGE = {"InvalidRange", "416"}
_UNKNOWN_CALLER = {
    "AuthFailure", "ExpiredToken", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSecurity", "InvalidToken",
    "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnrecognizedClientException", "401",
}  # fmt: skip
_BUSY = {"RequestLimitExceeded", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "503", "429"}
_FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "507"}
_DAMAGED_ON_THE_WAY = {
    "BadDigest", "ConditionalRequestConflict", "IncompleteBody", "OperationAborted", "RequestTimeout",
    "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch",
}  # fmt: skip
_ELSEWHERE = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "301"}

_NO_CREDENTIALS: tuple[type[Exception], ...] = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.ConfigParseError,
    exceptions.SSOError,
    exceptions.LoginError,
    exceptions.NoAuthTokenError,
    exceptions.UnknownCredentialError,
    exceptions.UnknownTokenProviderError,
    exceptions.InvalidConfigError,
)
_UNSAFE: tuple[type[Exception], ...] = (
    exceptions.SSLError,
    aiohttp.ClientSSLError,
    aiohttp.ServerFingerprintMismatch,
)
_NOT_SENT: tuple[type[Exception], ...] = (
    exceptions.EndpointConnectionError,
    exceptions.ConnectTimeoutError,
    exceptions.ProxyConnectionError,
)
_OUR_FAULT: tuple[type[Exception], ...] = (
    exceptions.ParamValidationError,
    exceptions.OperationNotPageableError,
    exceptions.UnknownParameterError,
)


def failure(error: BaseException, bucket: str, *, reading: bool) -> Failure:
    """What `error`, of the driver, means. `reading`: nothing could have been changed by the request.

    Raises `Missing`, `Changed` or `OutOfRange` for refusals that say how things stand.
    """
    if isinstance(error, exceptions.ClientError):
        return _refused(error, bucket, reading)
    if isinstance(error, _NO_CREDENTIALS):
        return Failure(_login(_line(error)), again=False)
    if isinstance(error, _OUR_FAULT):
        return Failure(Internal(f"the driver of S3 takes no such request: {_line(error)}"), again=False)
    if isinstance(error, _UNSAFE):
        return Failure(
            Unavailable(
                f"no safe connection to the server of {bucket!r}: {_line(error)}",
                hint="check the endpoint's scheme and name, and tls_ca",
                outcome="not_applied",
                retryable=False,
            ),
            again=False,
        )
    return Failure(
        Unavailable(
            f"the server of {bucket!r} did not answer: {_line(error)}",
            hint="repeat the call; see to the server if it goes on",
            outcome="not_applied" if reading or isinstance(error, _NOT_SENT) else "unknown",
        ),
        again=True,
    )


def _refused(error: Any, bucket: str, reading: bool) -> Failure:
    """What a refusal of the server means."""
    said = error.response.get("Error", {})
    code, status = str(said.get("Code", "")), int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _MISSING:
        raise Missing(code) from error
    if code in _CHANGED:
        raise Changed(code) from error
    if code in _OUT_OF_RANGE:
        raise OutOfRange(code) from error
    words = f"the server of {bucket!r} refuses: {code or status} {said.get('Message', '')}".strip()
    if code in _UNKNOWN_CALLER:
        return Failure(_login(words), again=False)
    if code in _BUSY:
        hint = "ask less often"
        return Failure(Exhausted(words, hint=hint, retry_after_ms=1_000, outcome="not_applied"), again=True)
    if code in _FULL:
        hint = "delete blobs, or give the bucket more room"
        return Failure(Exhausted(words, hint=hint, retry_after_ms=60_000, outcome="not_applied"), again=False)
    if code in _DAMAGED_ON_THE_WAY:
        return Failure(Unavailable(words, hint="send it again", outcome="not_applied"), again=True)
    if code == "EntityTooLarge":
        return Failure(TooLarge(words, hint="send it in several blobs", outcome="not_applied"), again=False)
    if code == "NoSuchBucket":
        return Failure(_final(words, "make the bucket, or name another"), again=False)
    if code in _ELSEWHERE:
        return Failure(_final(words, "name the region of the bucket"), again=False)
    if status == 403:
        hint = "grant the key the right to get, put, delete and list"
        return Failure(Forbidden(words, hint=hint, outcome="not_applied"), again=False)
    if status >= 500 and status != 501:
        outcome: Outcome = "not_applied" if reading else "unknown"
        return Failure(Unavailable(words, hint="repeat the call", outcome=outcome), again=True)
    return Failure(_final(words, "the server may speak another S3 than this engine needs"), again=False)


def _final(words: str, hint: str) -> Unavailable:
    return Unavailable(words, hint=hint, outcome="not_applied", retryable=False)


def _login(words: str) -> Unauthenticated:
    return Unauthenticated(
        words,
        hint="name access_key and password_file or password_env, or a profile, "
        "or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
        "this machine's clock must be right too",
        outcome="not_applied",
    )


def _line(error: BaseException) -> str:
    """The first line of what an exception says, cut short."""
    said = " ".join(str(each) for each in error.args).strip() or type(error).__name__
    return said.splitlines()[0][:300]
