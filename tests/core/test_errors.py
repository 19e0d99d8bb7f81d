"""The tree of errors and its form on the wire."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from soundstage import errors as public
from soundstage.core import errors
from soundstage.core.errors import (
    ERRORS,
    DeadlineExceeded,
    Exhausted,
    Internal,
    InvalidArgument,
    NotFound,
    SoundstageError,
    TokenDrift,
    Unavailable,
    from_problem,
)

WIRE_TABLE = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "already_exists": 409,
    "in_progress": 409,
    "precondition_failed": 412,
    "too_large": 413,
    "token_drift": 422,
    "token_reused": 422,
    "exhausted": 429,
    "internal": 500,
    "data_loss": 500,
    "unavailable": 503,
    "deadline": 504,
}

every_error = pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)


def declared() -> set[type[SoundstageError]]:
    return {
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, SoundstageError) and found is not SoundstageError
    }


def test_the_codes_and_statuses_are_those_of_the_wire() -> None:
    assert {code: error.status for code, error in ERRORS.items()} == WIRE_TABLE


def test_every_class_of_the_module_has_its_code() -> None:
    assert set(ERRORS.values()) == declared()


@every_error
def test_every_error_is_drawn_in_the_modules_tree(error: type[SoundstageError]) -> None:
    assert f"─ {error.__name__}" in str(errors.__doc__)


@every_error
def test_a_problem_gives_the_same_error_back(error: type[SoundstageError]) -> None:
    sent = error("broken", field="items[0].key", hint="mend it", retryable=True, retry_after_ms=7, outcome="unknown")
    received = from_problem(sent.problem("request-1"))
    assert type(received) is error
    assert received.problem() == sent.problem("request-1")


@every_error
def test_an_error_survives_copying_and_pickling(error: type[SoundstageError]) -> None:
    sent = error("broken", field="id", outcome="not_applied")
    for twin in (copy.copy(sent), pickle.loads(pickle.dumps(sent))):
        assert (type(twin), twin.problem()) == (error, sent.problem())


def test_members_without_a_value_are_left_out() -> None:
    assert InvalidArgument("wrong").problem() == {
        "type": "urn:soundstage:error:invalid_argument",
        "title": "Invalid argument",
        "status": 400,
        "detail": "wrong",
        "code": "invalid_argument",
        "retryable": False,
    }


def test_the_problem_names_the_request() -> None:
    assert NotFound("gone").problem("r1")["request_id"] == "r1"


@pytest.mark.parametrize("error", [Exhausted, Unavailable, errors.InProgress])
def test_what_passes_by_itself_is_retryable(error: type[SoundstageError]) -> None:
    assert error("later").retryable is True


def test_retryable_can_be_denied() -> None:
    assert Unavailable("no token was sent", retryable=False).retryable is False


def test_a_deadline_is_retryable_only_when_told() -> None:
    assert DeadlineExceeded("late").retryable is False


def test_errors_are_caught_as_their_builtin_kin() -> None:
    assert issubclass(InvalidArgument, ValueError)
    assert issubclass(NotFound, LookupError)


def test_token_drift_is_an_invalid_argument() -> None:
    assert issubclass(TokenDrift, InvalidArgument)


def test_an_unknown_code_becomes_internal() -> None:
    assert type(from_problem({"code": "invented_later", "detail": "x"})) is Internal


@pytest.mark.parametrize(
    "problem",
    [
        {},
        {"code": ["not", "text"], "detail": 5},
        {"code": "unavailable", "field": 5, "hint": [], "retryable": "yes", "retry_after_ms": "soon", "outcome": "odd"},
        {"code": "unavailable", "retry_after_ms": True, "request_id": {}},
    ],
)
def test_a_problem_of_strange_members_is_still_an_error(problem: dict[str, Any]) -> None:
    error = from_problem(problem)
    assert isinstance(error.detail, str)
    members = (error.field, error.hint, error.retry_after_ms, error.outcome, error.request_id)
    assert members == (None, None, None, None, None)
    assert error.retryable is False


def test_errors_are_reached_by_either_import() -> None:
    from soundstage.errors import NotFound

    assert NotFound is errors.NotFound
    assert {error.__name__ for error in errors.ERRORS.values()} | {"SoundstageError"} == set(public.__all__)
