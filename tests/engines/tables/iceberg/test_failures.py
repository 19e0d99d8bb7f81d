"""Every exception from below becomes one of the tree, or makes a change be made again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pyarrow
import pytest

from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    Exhausted,
    Forbidden,
    Internal,
    NotFound,
    SoundstageError,
    Unauthenticated,
    Unavailable,
)
from soundstage.engines.tables.iceberg.driver import MODULES, arrow, database, exceptions
from soundstage.engines.tables.iceberg.failures import ERRORS, Overtaken, failure


def declared() -> Iterator[type[Exception]]:
    """Every class of exception that stands below, but for warnings."""
    for module in MODULES:
        for _, found in inspect.getmembers(module, inspect.isclass):
            ours = found.__module__.partition(".")[0] in ("pyarrow", "pyiceberg", "sqlalchemy")
            if ours and issubclass(found, Exception) and not issubclass(found, Warning):
                yield found


def made(kind: type[Exception]) -> Exception:
    """One of a class, whatever it is made from."""
    error = kind.__new__(kind)
    Exception.__init__(error, "said from below")
    for name in ("code", "statement", "orig", "params", "ismulti", "detail"):
        if not hasattr(error, name):
            setattr(error, name, None)
    error.__dict__.setdefault("hide_parameters", False)
    error.__dict__["detail"] = []
    return error


def operational(words: str) -> Exception:
    """What the database is heard of by."""
    return database.OperationalError("SELECT 1", {}, Exception(words))


KINDS = sorted(set(declared()), key=lambda kind: (kind.__module__, kind.__name__))
AGAIN = {"CommitFailedException", "ValidationException", "WaitingForLockException"}


def test_there_are_exceptions_to_look_at() -> None:
    assert len(KINDS) > 60


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_exception_from_below_becomes_one_of_the_tree(kind: type[Exception]) -> None:
    assert issubclass(kind, ERRORS)
    try:
        found: Any = failure(made(kind), "films", reading=True)
    except Overtaken:
        assert kind.__name__ in AGAIN
    else:
        assert isinstance(found, SoundstageError)
        assert kind.__name__ not in AGAIN


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (exceptions.NoSuchTableError("films"), NotFound, False),
        (exceptions.TableAlreadyExistsError("films"), AlreadyExists, False),
        (database.IntegrityError("INSERT", {}, Exception("twice")), AlreadyExists, False),
        (exceptions.CommitStateUnknownException("lost"), Unavailable, True),
        (FileNotFoundError(2, "gone"), Unavailable, True),
        (OSError(28, "No space left on device"), Unavailable, True),
        (operational("connection failed: refused"), Unavailable, True),
        (operational('password authentication failed for user "films"'), Unauthenticated, False),
        (
            operational("FATAL:  connection requires a valid client certificate"),
            Unauthenticated,
            False,
        ),
        (operational("connection failed: SSL error: certificate verify failed"), Unavailable, False),
        (operational("connection failed: server does not support SSL, but SSL was required"), Unavailable, False),
        (operational("permission denied for table iceberg_tables"), Forbidden, False),
        (arrow.lib.ArrowMemoryError("malloc of size 64 failed"), Exhausted, True),
        (pyarrow.ArrowInvalid("not a Parquet file"), DataLoss, False),
        (ValueError("a defect"), Internal, False),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_is_heard_from_below_means(error: Exception, kind: type[Exception], retryable: bool) -> None:
    found = failure(error, "films", reading=True)
    assert (type(found), found.retryable) == (kind, retryable)


@pytest.mark.parametrize(("reading", "outcome"), [(True, "not_applied"), (False, "unknown")])
def test_a_database_that_does_not_answer_may_have_done_what_it_was_asked(reading: bool, outcome: str) -> None:
    assert failure(operational("server closed the connection"), "films", reading=reading).outcome == outcome


def test_a_catalogue_that_others_write_to_is_tried_again() -> None:
    with pytest.raises(Overtaken):
        failure(operational("database is locked"), "films", reading=False)


def test_what_is_one_of_the_tree_stays_it() -> None:
    error = NotFound("no such film")
    assert failure(error, "films", reading=True) is error
