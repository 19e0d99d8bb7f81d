"""What the driver's errors mean: every one of them."""

from __future__ import annotations

import pytest

from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    Internal,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from soundstage.engines.log.kafka.driver import KafkaError, KafkaException, code_of, names_of_codes
from soundstage.engines.log.kafka.failures import failure, late, refusal, timed_out

CODES = names_of_codes()


def test_all_errors_of_the_driver_are_walked() -> None:
    assert len(CODES) > 150
    assert {"_TRANSPORT", "UNKNOWN_TOPIC_OR_PART", "_FATAL"} <= set(CODES.values())


@pytest.mark.parametrize("code", sorted(CODES), ids=CODES.get)
@pytest.mark.parametrize("reading", [False, True])
def test_every_error_becomes_one_of_the_tree(code: int, reading: bool) -> None:
    found = failure(KafkaException(KafkaError(code)), reading=reading)
    assert isinstance(found.error, SoundstageError)
    assert found.error.outcome == "not_applied" or not reading
    # What may be asked again in the engine may be asked again by its caller.
    assert found.error.retryable or not found.again
    assert CODES[code].lstrip("_") in str(found.error) or found.error.hint


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("UNKNOWN_TOPIC_OR_PART", NotFound),
        ("_UNKNOWN_TOPIC", NotFound),
        ("TOPIC_ALREADY_EXISTS", AlreadyExists),
        ("GROUP_ID_NOT_FOUND", NotFound),
        ("NON_EMPTY_GROUP", PreconditionFailed),
        ("ILLEGAL_GENERATION", PreconditionFailed),
        ("UNKNOWN_MEMBER_ID", PreconditionFailed),
        ("SASL_AUTHENTICATION_FAILED", Unauthenticated),
        ("_AUTHENTICATION", Unauthenticated),
        ("TOPIC_AUTHORIZATION_FAILED", Forbidden),
        ("MSG_SIZE_TOO_LARGE", TooLarge),
        ("_QUEUE_FULL", Exhausted),
        ("INVALID_CONFIG", InvalidArgument),
        ("INVALID_SESSION_TIMEOUT", InvalidArgument),
        ("UNSUPPORTED_VERSION", Internal),
        ("_TRANSPORT", Unavailable),
        ("_TIMED_OUT", Unavailable),
        ("_MSG_TIMED_OUT", Unavailable),
        ("REQUEST_TIMED_OUT", Unavailable),
        ("NOT_LEADER_FOR_PARTITION", Unavailable),
        ("_ALL_BROKERS_DOWN", Unavailable),
    ],
)
def test_an_error_is_what_its_name_says(name: str, kind: type[SoundstageError]) -> None:
    assert type(failure(KafkaError(code_of(name))).error) is kind


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("_MSG_TIMED_OUT", "unknown"), ("_TRANSPORT", "unknown"), ("NOT_ENOUGH_REPLICAS", "not_applied")],
)
def test_what_may_have_been_done_is_unknown(name: str, outcome: str) -> None:
    assert failure(KafkaError(code_of(name))).error.outcome == outcome


def test_an_error_of_the_tree_stays_itself() -> None:
    error = NotFound("gone")
    assert failure(error) == (error, False)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(BufferError("full"), Exhausted), (RuntimeError("closed"), Unavailable), (TypeError("wrong"), Internal)],
)
def test_what_the_driver_raises_of_pythons_own_is_told_too(raised: Exception, kind: type[SoundstageError]) -> None:
    assert type(failure(raised).error) is kind


@pytest.mark.parametrize(
    ("name", "said", "kind", "hint"),
    [
        ("_SSL", "SSL handshake failed: certificate verify failed: broker", Unavailable, "tls_ca"),
        ("_SSL", "SSL handshake failed: ssl/tls alert unknown ca: SSL alert number 48", Unauthenticated, "tls_cert"),
        ("_TRANSPORT", "Receive failed: ssl/tls alert bad certificate: SSL alert", Unauthenticated, "tls_cert"),
        ("_TRANSPORT", "tlsv13 alert certificate required", Unauthenticated, "tls_cert"),
        ("_AUTHENTICATION", "SASL authentication error", Unauthenticated, "password_file"),
    ],
)
def test_who_is_not_trusted_or_let_in_need_not_wait(
    name: str, said: str, kind: type[SoundstageError], hint: str
) -> None:
    error = KafkaError(code_of(name), said)
    found = refusal(error)
    assert found is not None
    assert (type(found), found.retryable, hint in str(found.hint)) == (kind, False, True)
    assert type(failure(error).error) is kind


@pytest.mark.parametrize(("fatal", "told"), [(True, True), (False, False)])
def test_a_right_that_is_missing_for_good_is_a_refusal(fatal: bool, told: bool) -> None:
    error = KafkaError(code_of("CLUSTER_AUTHORIZATION_FAILED"), "no", fatal)
    assert (type(refusal(error)) is Forbidden) == told


@pytest.mark.parametrize("said", ["Connection refused", "Disconnected: SSL connection closed by peer"])
def test_what_may_pass_is_no_refusal(said: str) -> None:
    assert refusal(KafkaError(code_of("_TRANSPORT"), said)) is None


def test_silence_tells_what_the_driver_said_meanwhile() -> None:
    assert "refused" in str(timed_out("connection refused").error)
    assert timed_out(None).again


def test_a_deadline_tells_what_may_have_become_of_the_call() -> None:
    assert (type(late("unknown")), late("unknown").outcome, late().outcome) == (
        DeadlineExceeded,
        "unknown",
        "not_applied",
    )
