"""Every exception of the driver becomes one of the tree, and what may be sent again is sent again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from soundstage.core.errors import (
    Exhausted,
    Forbidden,
    SoundstageError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from soundstage.engines.blobs.s3.driver import ERRORS, MODULES, aiohttp, exceptions
from soundstage.engines.blobs.s3.failures import Changed, Failure, Missing, OutOfRange, failure


def declared() -> Iterator[type[Exception]]:
    """Every class of exception that the driver declares, but for warnings."""
    for module in MODULES:
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, Exception) and not issubclass(found, Warning):
                yield found


def made(kind: type[Exception]) -> Exception:
    """One of a class, whatever it is made from."""
    error = kind.__new__(kind)
    Exception.__init__(error, "said by the driver")
    for name, value in {"response": {}, "message": "said", "status": 0, "request_info": None}.items():
        if not hasattr(error, name):
            setattr(error, name, value)
    return error


OF_MODELS = {"MD5UnavailableError", "MissingServiceIdError", "UndefinedModelAttributeError", "_RetriesExceededError"}
"""Of defects in the driver's own files, or inside its retries, which are off."""

KINDS = sorted(set(declared()), key=lambda kind: (kind.__module__, kind.__name__))


def refused(code: str, status: int = 400, *, reading: bool = False) -> Failure:
    answer: dict[str, Any] = {
        "Error": {"Code": code, "Message": "said"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return failure(exceptions.ClientError(answer, "PutObject"), "films", reading=reading)


def test_the_driver_declares_exceptions_to_look_at() -> None:
    assert len(KINDS) > 100


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_exception_of_the_driver_becomes_one_of_the_tree(kind: type[Exception]) -> None:
    found = failure(made(kind), "films", reading=True)
    assert isinstance(found.error, SoundstageError)
    assert found.error.outcome in (None, "not_applied")


def test_what_the_driver_raises_is_caught_by_its_roots() -> None:
    raised_by_calls = [kind for kind in KINDS if kind.__module__ in ("botocore.exceptions", "botocore.parsers")]
    strays = [kind for kind in raised_by_calls if not issubclass(kind, ERRORS)]
    assert {kind.__name__ for kind in strays} <= OF_MODELS


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, Missing),
        ("NoSuchUpload", 404, Missing),
        ("404", 404, Missing),
        ("PreconditionFailed", 412, Changed),
        ("412", 412, Changed),
        ("InvalidRange", 416, OutOfRange),
    ],
)
def test_refusals_that_say_how_things_stand_are_told_apart(code: str, status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        refused(code, status)


@pytest.mark.parametrize(
    ("code", "status", "kind", "again", "retryable"),
    [
        ("InvalidAccessKeyId", 403, Unauthenticated, False, False),
        ("SignatureDoesNotMatch", 403, Unauthenticated, False, False),
        ("ExpiredToken", 400, Unauthenticated, False, False),
        ("AccessDenied", 403, Forbidden, False, False),
        ("SlowDown", 503, Exhausted, True, True),
        ("QuotaExceeded", 400, Exhausted, False, True),
        ("RequestTimeout", 400, Unavailable, True, True),
        ("ConditionalRequestConflict", 409, Unavailable, True, True),
        ("EntityTooLarge", 400, TooLarge, False, False),
        ("NoSuchBucket", 404, Unavailable, False, False),
        ("PermanentRedirect", 301, Unavailable, False, False),
        ("NotImplemented", 501, Unavailable, False, False),
        ("SomethingElse", 400, Unavailable, False, False),
    ],
)
def test_what_a_refusal_means(code: str, status: int, kind: type[Exception], again: bool, retryable: bool) -> None:
    found = refused(code, status)
    assert (type(found.error), found.again, found.error.retryable) == (kind, again, retryable)
    assert found.error.outcome == "not_applied"
    assert "films" in found.error.detail


@pytest.mark.parametrize(("reading", "outcome"), [(True, "not_applied"), (False, "unknown")])
def test_a_server_that_failed_may_have_done_what_it_was_asked(reading: bool, outcome: str) -> None:
    found = refused("InternalError", 500, reading=reading)
    assert (type(found.error), found.again, found.error.outcome) == (Unavailable, True, outcome)


@pytest.mark.parametrize(
    ("error", "again", "outcome"),
    [
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), True, "not_applied"),
        (exceptions.ConnectTimeoutError(endpoint_url="http://x"), True, "not_applied"),
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), True, "unknown"),
        (exceptions.SSLError(endpoint_url="http://x", error="wrong"), False, "not_applied"),
        (aiohttp.ClientPayloadError("cut"), True, "unknown"),
        (ConnectionResetError("gone"), True, "unknown"),
        (TimeoutError(), True, "unknown"),
    ],
)
def test_a_server_that_does_not_answer_is_unavailable(error: Exception, again: bool, outcome: str) -> None:
    found = failure(error, "films", reading=False)
    assert (type(found.error), found.again, found.error.outcome) == (Unavailable, again, outcome)
    assert found.error.detail


@pytest.mark.parametrize(
    "error",
    [exceptions.NoCredentialsError(), exceptions.ProfileNotFound(profile="films")],
)
def test_without_credentials_nobody_is_asked_again(error: Exception) -> None:
    found = failure(error, "films", reading=False)
    assert (type(found.error), found.again) == (Unauthenticated, False)
    assert "access_key" in str(found.error.hint)
