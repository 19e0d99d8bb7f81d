"""What the driver's errors mean, and whether the same request may be sent again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    Internal,
    InvalidArgument,
    NotFound,
    Outcome,
    PreconditionFailed,
    SoundstageError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from soundstage.engines.log.kafka.driver import KafkaException, code_of
from soundstage.engines.secret import PLACES


class Failure(NamedTuple):
    """What is said to the caller in the end; `again`: meanwhile the same request may be sent once more."""

    error: SoundstageError
    again: bool


def _codes(*names: str) -> frozenset[int]:
    return frozenset(map(code_of, names))


MISSING: frozenset[int] = _codes("UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION")
EXISTS: frozenset[int] = _codes("TOPIC_ALREADY_EXISTS")
NO_GROUP: frozenset[int] = _codes("GROUP_ID_NOT_FOUND", "_UNKNOWN_GROUP")
IN_USE: frozenset[int] = _codes("NON_EMPTY_GROUP", "GROUP_SUBSCRIBED_TO_TOPIC")
FENCED: frozenset[int] = _codes(
    "ILLEGAL_GENERATION",
    "UNKNOWN_MEMBER_ID",
    "REBALANCE_IN_PROGRESS",
    "FENCED_INSTANCE_ID",
    "FENCED_MEMBER_EPOCH",
    "STALE_MEMBER_EPOCH",
    "UNRELEASED_INSTANCE_ID",
    "_ASSIGNMENT_LOST",
    "_MAX_POLL_EXCEEDED",
    "_STATE",
)
LOGIN: frozenset[int] = _codes(
    "SASL_AUTHENTICATION_FAILED",
    "UNSUPPORTED_SASL_MECHANISM",
    "ILLEGAL_SASL_STATE",
    "DELEGATION_TOKEN_EXPIRED",
    "DELEGATION_TOKEN_NOT_FOUND",
    "_AUTHENTICATION",
)
_RIGHTS: frozenset[int] = _codes(
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
    "SECURITY_DISABLED",
    "TOPIC_DELETION_DISABLED",
)
_LARGE: frozenset[int] = _codes("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "OFFSET_METADATA_TOO_LARGE")
_FULL: frozenset[int] = _codes("_QUEUE_FULL", "THROTTLING_QUOTA_EXCEEDED", "GROUP_MAX_SIZE_REACHED")
_WRONG: frozenset[int] = _codes(
    "INVALID_CONFIG",
    "INVALID_PARTITIONS",
    "INVALID_REPLICATION_FACTOR",
    "INVALID_REPLICA_ASSIGNMENT",
    "INVALID_SESSION_TIMEOUT",
    "INVALID_TRANSACTION_TIMEOUT",
    "INVALID_TIMESTAMP",
    "INVALID_GROUP_ID",
    "POLICY_VIOLATION",
    "TOPIC_EXCEPTION",
    "INCONSISTENT_GROUP_PROTOCOL",
    "_SSL",
)
_REFUSED: frozenset[int] = _codes(
    "NOT_ENOUGH_REPLICAS",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_FOR_PARTITION",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "NOT_COORDINATOR",
    "NOT_CONTROLLER",
    "_PURGE_QUEUE",
    "_RESOLVE",
)
"""Said before anything was done."""
_DEFECTS: frozenset[int] = _codes(
    "UNSUPPORTED_VERSION",
    "INVALID_REQUEST",
    "INVALID_REQUIRED_ACKS",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "_INVALID_ARG",
    "_NOT_IMPLEMENTED",
    "_UNSUPPORTED_FEATURE",
    "_CONFLICT",
    "_INVALID_TYPE",
)


_CERTIFICATE = "certificate verify failed"
_ALERT = re.compile(r"alert (?:bad certificate|certificate \w+|unsupported certificate|unknown ca|handshake failure)\b")
"""What a broker says that does not take the certificate of a client, or has got none."""


def failure(error: BaseException | Any, *, reading: bool = False) -> Failure:
    """What `error`, the driver's, means. `reading`: nothing could have been changed by the request."""
    if isinstance(error, SoundstageError):
        return Failure(error, again=False)
    cause = error.args[0] if isinstance(error, KafkaException) and error.args else error
    code = getattr(cause, "code", None)
    if not callable(code):
        return _no_code(error, "not_applied" if reading else "unknown")
    return _by_code(code(), _line(cause), reading)


def _no_code(error: BaseException, outcome: Outcome) -> Failure:
    """What the driver raises of Python's own."""
    if isinstance(error, BufferError):
        return Failure(_full("not_applied"), again=True)
    if isinstance(error, TimeoutError):
        return Failure(_silent("nothing came in time", outcome), again=True)
    if isinstance(error, (RuntimeError, OSError)):
        return Failure(_silent(_line(error), outcome), again=True)
    return Failure(Internal(f"the driver refuses: {_line(error)}", hint="this is a defect; please report it"), False)


def _full(outcome: Outcome) -> Exhausted:
    return Exhausted("Kafka has too much to do", hint="ask less often", retry_after_ms=200, outcome=outcome)


def _by_code(code: Any, line: str, reading: bool) -> Failure:
    final = _untrusted(line) or _final(code, line)
    if final is not None:
        final.outcome = "not_applied"
        return Failure(final, again=False)
    outcome: Outcome = "not_applied" if reading or code in _REFUSED else "unknown"
    if code in _FULL:
        return Failure(_full(outcome), again=True)
    return Failure(_silent(line, outcome), again=True)


def _final(code: Any, line: str) -> SoundstageError | None:
    """What cannot be mended by asking again."""
    known: Iterable[tuple[frozenset[int], SoundstageError]] = (
        (MISSING, NotFound(f"Kafka has no such topic or partition: {line}", hint="create it first")),
        (EXISTS, AlreadyExists(f"Kafka has the topic: {line}")),
        (NO_GROUP, NotFound(f"Kafka knows no such group: {line}")),
        (IN_USE, PreconditionFailed(f"the group has members: {line}", hint="let them leave first")),
        (FENCED, PreconditionFailed(f"the group has gone on: {line}", field="generation", hint="join again")),
        (
            LOGIN,
            Unauthenticated(f"Kafka does not let us in: {line}", hint=f"check user and {PLACES}"),
        ),
        (_RIGHTS, Forbidden(f"Kafka refuses: {line}", hint="grant the user the right")),
        (_LARGE, TooLarge(f"Kafka refuses what is so large: {line}", hint="raise max.message.bytes of the topic")),
        (_WRONG, InvalidArgument(f"Kafka refuses a setting: {line}", hint="change it, or the broker's")),
        (_DEFECTS, Internal(f"Kafka refuses a request: {line}", hint="this is a defect; please report it")),
    )
    return next((error for codes, error in known if code in codes), None)


def refusal(error: Any) -> SoundstageError | None:
    """What the driver says besides answers, if waiting does not mend it: nobody trusts the other, or lets it in."""
    line = _line(error)
    shut_out = error.code() in LOGIN or (error.code() in _RIGHTS and error.fatal())
    return _untrusted(line) or (failure(error).error if shut_out else None)


def _untrusted(line: str) -> SoundstageError | None:
    if _CERTIFICATE in line:
        return Unavailable(
            f"a broker's certificate is not to be trusted: {line}",
            hint="tls_ca is to be who signed it; with tls_names = false it need not name its host",
            retryable=False,
        )
    if _ALERT.search(line):
        return Unauthenticated(f"Kafka does not take our certificate: {line}", hint="check tls_cert and tls_key")
    return None


def _silent(line: str, outcome: Outcome) -> Unavailable:
    return Unavailable(
        f"Kafka did not answer: {line}",
        hint="see that the brokers run, and that the URL names them and says how to speak to them",
        outcome=outcome,
    )


def not_known() -> SoundstageError:
    """A broker answers, and does not say what it has."""
    return _silent("a partition has no leader", "not_applied")


def timed_out(last: str | None) -> Failure:
    """Nothing was heard for as long as the driver was told to wait; `last` is what it said meanwhile."""
    return Failure(_silent(last or "no broker can be reached", "unknown"), again=True)


def repeated() -> Unavailable:
    """Of an entry Kafka says that it had it before, and not where."""
    return Unavailable(
        "Kafka does not say where an entry is that it takes for a repetition",
        hint="read what is there, and append again what is missing",
        outcome="unknown",
    )


def late(outcome: Outcome = "not_applied") -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before Kafka answered", hint="allow more time", outcome=outcome)


def too_many(waiting: int) -> Exhausted:
    return Exhausted(
        f"{waiting} appends wait for Kafka already",
        hint="append less often, or raise in_flight",
        retry_after_ms=100,
        outcome="not_applied",
    )


def _line(error: Any) -> str:
    """What the driver calls it and says of it, on one line."""
    said = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else f"{error.name()}: {error.str()}"
    return " ".join(said.split())[:400]
