"""Every exception of the driver becomes one of the tree, and what may be sent again is sent again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

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
from soundstage.engines.records import refusals
from soundstage.engines.records.cassandra.driver import MODULES, cluster, connection, pool, protocol, root
from soundstage.engines.records.cassandra.failures import (
    TOO_MANY_TOMBSTONES,
    Failed,
    failure,
    gave_up,
    is_out_of_time,
    is_too_many_tombstones,
    is_too_slow,
    late,
    patient,
)


def exceptions() -> Iterator[type[Exception]]:
    """Every class of exception that the driver declares."""
    for module in MODULES:
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, Exception) and found.__module__.startswith("cassandra"):
                yield found


def made(kind: type[Exception]) -> Exception:
    """One of a class, whatever it is made from."""
    error = kind.__new__(kind)
    Exception.__init__(error, "said by the driver")
    return error


KINDS = sorted(set(exceptions()), key=lambda kind: (kind.__module__, kind.__name__))


def test_the_driver_declares_exceptions_to_look_at() -> None:
    assert len(KINDS) > 40


@pytest.mark.parametrize("reading", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_exception_of_the_driver_becomes_one_of_the_tree(kind: type[Exception], reading: bool) -> None:
    error = made(kind)
    if kind is cluster.NoHostAvailable:
        error = cluster.NoHostAvailable("none", {})
    if issubclass(kind, protocol.ErrorMessage):
        error = kind(0, "said by the driver", {})
    found = failure(error, reading=reading).error
    assert isinstance(found, SoundstageError)
    assert found.hint


@pytest.mark.parametrize(
    "error",
    [
        root.WriteTimeout("timed out", write_type=0),
        root.WriteFailure("failed"),
        root.OperationTimedOut(),
        connection.ConnectionShutdown("closed"),
        OSError("reset"),
        RuntimeError("anything"),
    ],
)
def test_a_write_that_may_have_been_applied_says_so_and_is_sent_again(error: Exception) -> None:
    found = failure(error)
    assert isinstance(found.error, Unavailable)
    assert (found.error.outcome, found.error.retryable, found.again) == ("unknown", True, True)


@pytest.mark.parametrize(
    "error",
    [root.Unavailable("too few"), pool.NoConnectionsAvailable(), connection.ConnectionBusy()],
)
def test_a_write_that_was_refused_was_not_applied_and_is_sent_again(error: Exception) -> None:
    found = failure(error)
    assert (found.error.outcome, found.again) == ("not_applied", True)


def test_a_read_changes_nothing_however_it_ends() -> None:
    assert failure(root.ReadTimeout("timed out"), reading=True).error.outcome == "not_applied"


def test_an_overloaded_node_is_exhausted_and_asked_again() -> None:
    found = failure(protocol.OverloadedErrorMessage(0, "busy", {}))
    assert isinstance(found.error, Exhausted)
    assert found.again


@pytest.mark.parametrize("kind", [root.AuthenticationFailed, protocol.BadCredentials])
def test_wrong_credentials_are_told_at_once(kind: Any) -> None:
    error = kind(0, "no", {}) if kind is protocol.BadCredentials else kind("no")
    for each in (error, cluster.NoHostAvailable("none", {"a": error})):
        found = failure(each)
        assert isinstance(found.error, Unauthenticated)
        assert not found.again


def test_a_right_that_is_missing_is_told_at_once() -> None:
    found = failure(root.Unauthorized("no"))
    assert isinstance(found.error, Forbidden)
    assert not found.again


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        ({}, "not_applied"),
        ({"a": ConnectionRefusedError()}, "not_applied"),
        ({"a": pool.NoConnectionsAvailable()}, "not_applied"),
        ({"a": connection.ConnectionShutdown("closed")}, "unknown"),
        ({"a": ConnectionRefusedError(), "b": root.OperationTimedOut()}, "unknown"),
        ([], "not_applied"),
    ],
)
def test_of_all_nodes_the_worst_says_what_became_of_a_write(cause: Any, outcome: str) -> None:
    found = failure(cluster.NoHostAvailable("none", cause))
    assert (found.error.outcome, found.again) == (outcome, True)


def test_a_table_that_has_gone_is_not_found() -> None:
    assert isinstance(failure(root.InvalidRequest("unconfigured table rows_7")).error, NotFound)


def test_a_statement_that_is_wrong_is_a_defect_of_ours() -> None:
    assert isinstance(failure(root.InvalidRequest("no viable alternative")).error, Internal)


def test_an_error_of_the_tree_stays_what_it_is() -> None:
    stopped = refusals.stopped()
    assert failure(stopped) == (stopped, False)


def test_too_many_tombstones_are_told_from_other_failures() -> None:
    failed = root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})
    assert is_too_many_tombstones(failed)
    assert not is_too_many_tombstones(root.ReadFailure("failed", error_code_map={"127.0.0.1": 0}))
    assert not is_too_many_tombstones(root.ReadTimeout("timed out"))


def test_slow_nodes_and_slow_clients_are_told_apart() -> None:
    assert [is_too_slow(each) for each in (root.ReadTimeout(""), root.OperationTimedOut(), OSError())] == [
        True,
        True,
        False,
    ]
    assert [is_out_of_time(each) for each in (root.ReadTimeout(""), root.OperationTimedOut())] == [False, True]


def test_what_is_said_in_the_end_knows_what_became_of_all_attempts() -> None:
    last = failure(root.Unavailable("too few")).error
    found = gave_up(last, "unknown")
    assert (type(found), found.outcome, found.detail) == (Unavailable, "unknown", last.detail)


def test_an_overload_to_the_end_is_exhausted() -> None:
    found = gave_up(Exhausted("busy", retry_after_ms=5), "not_applied")
    assert (type(found), found.retry_after_ms) == (Exhausted, 5)


def test_a_call_that_comes_too_late_was_not_applied() -> None:
    assert (type(late()), late().outcome) == (DeadlineExceeded, "not_applied")


def test_what_the_driver_said_is_kept_on_its_way() -> None:
    cause = OSError("reset")
    assert Failed(cause).cause is cause


@pytest.mark.parametrize(("deadline_ns", "said"), [(None, Unavailable), (5, DeadlineExceeded)])
@pytest.mark.parametrize("outcome", ["unknown", "not_applied"])
def test_who_set_no_deadline_is_told_of_none(
    deadline_ns: int | None, said: type[SoundstageError], outcome: Outcome
) -> None:
    found = late()
    found.outcome = outcome
    with pytest.raises(said) as refused, patient(deadline_ns):
        raise found
    assert (refused.value.outcome, refused.value.retryable) == (outcome, deadline_ns is None)


def test_other_refusals_are_passed_on_as_they_are() -> None:
    stopped = refusals.stopped()
    with pytest.raises(Unavailable) as refused, patient(None):
        raise stopped
    assert refused.value is stopped
