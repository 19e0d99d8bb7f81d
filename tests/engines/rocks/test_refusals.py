from __future__ import annotations

import msgspec
import pytest
from rocksdict import DbClosedError

from soundstage.core.errors import DataLoss, DeadlineExceeded, Exhausted, InvalidArgument, SoundstageError, Unavailable
from soundstage.engines.rocks import refusals
from soundstage.engines.rocks.refusals import Translation

TRANSLATION = Translation("/data/records")


def translated(error: BaseException) -> BaseException:
    with pytest.raises(type(error) if isinstance(error, SoundstageError) else BaseException) as caught, TRANSLATION:
        raise error
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "Corruption: block checksum mismatch: stored = 1, computed = 2",
        "Corruption: bad record length",
        "IO error: No such file or directory: While open a file for random read: /data/records/000009.sst",
    ],
)
def test_damage_is_data_loss_with_what_to_do(text: str) -> None:
    error = translated(Exception(text))
    assert isinstance(error, DataLoss)
    assert text in error.detail
    assert "soundstage data repair --accept-loss" in str(error.hint)


def test_other_errors_of_the_driver_are_unavailable_with_the_reason() -> None:
    error = translated(Exception("IO error: Input/output error:\n  While pread"))
    assert isinstance(error, Unavailable)
    assert error.detail == "/data/records cannot be used: IO error: Input/output error: While pread"


def test_a_row_that_cannot_be_decoded_is_data_loss() -> None:
    assert isinstance(translated(msgspec.DecodeError("truncated")), DataLoss)


def test_a_closed_database_is_a_stopped_engine() -> None:
    error = translated(DbClosedError("DB instance already closed"))
    assert isinstance(error, Unavailable)
    assert error.detail == "the engine is stopped"


@pytest.mark.parametrize("error", [InvalidArgument("no"), KeyError("x"), ZeroDivisionError(), KeyboardInterrupt()])
def test_what_is_not_the_drivers_passes_unchanged(error: BaseException) -> None:
    assert translated(error) is error


def test_nothing_happens_without_an_error() -> None:
    with TRANSLATION:
        pass


@pytest.mark.parametrize(
    ("refusal", "kind", "outcome", "retryable"),
    [
        (refusals.stopped(), Unavailable, "not_applied", False),
        (refusals.closed_after("/f", Exception("full")), Unavailable, "not_applied", True),
        (refusals.not_flushed(Exception("full")), Unavailable, "unknown", True),
        (refusals.stalled(), Exhausted, "not_applied", True),
        (refusals.deadline_passed(), DeadlineExceeded, "not_applied", False),
        (refusals.unusable("/f", Exception("full")), Unavailable, "not_applied", False),
    ],
)
def test_refusals_say_what_became_of_the_write(
    refusal: SoundstageError, kind: type[SoundstageError], outcome: str, retryable: bool
) -> None:
    assert (type(refusal), refusal.outcome, refusal.retryable) == (kind, outcome, retryable)


def test_exhausted_says_when_to_come_back() -> None:
    assert refusals.stalled().retry_after_ms == 200
