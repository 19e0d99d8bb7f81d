"""What engines say: the right class, whether to repeat, and what to do."""

from __future__ import annotations

import msgspec
import pytest

from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TokenReused,
    Unavailable,
)
from soundstage.engines.records import refusals
from soundstage.engines.records.port import Condition, Stamp, TableSpec

SPEC = TableSpec(name="kv/profiles")
ABSENT = Condition(b"key", None)

REFUSALS: list[tuple[SoundstageError, type[SoundstageError]]] = [
    (refusals.no_table("kv/profiles"), NotFound),
    (refusals.takes_no_conditions("kv/profiles"), InvalidArgument),
    (refusals.token_reused("token"), TokenReused),
    (refusals.written_ahead(7), Unavailable),
    (refusals.condition_failed(ABSENT, Stamp(7, "token")), PreconditionFailed),
    (refusals.stopped(), Unavailable),
    (refusals.deadline_passed(), DeadlineExceeded),
]


@pytest.mark.parametrize(("refusal", "kind"), REFUSALS, ids=lambda each: getattr(each, "code", ""))
def test_each_is_of_its_class(refusal: SoundstageError, kind: type[SoundstageError]) -> None:
    assert type(refusal) is kind


@pytest.mark.parametrize("refusal", [each for each, _ in REFUSALS], ids=lambda each: str(each)[:30])
def test_each_says_what_to_do(refusal: SoundstageError) -> None:
    assert refusal.hint


@pytest.mark.parametrize("refusal", [refusals.stopped(), refusals.deadline_passed(), refusals.written_ahead(7)])
def test_a_write_refused_beforehand_was_not_applied(refusal: SoundstageError) -> None:
    assert refusal.outcome == "not_applied"


def test_a_stopped_engine_is_not_asked_again() -> None:
    assert not refusals.stopped().retryable


def test_a_write_that_came_too_early_may_be_repeated() -> None:
    assert refusals.written_ahead(7).retryable


def test_a_table_is_named() -> None:
    assert "kv/profiles" in str(refusals.no_table("kv/profiles"))
    assert "kv/profiles" in str(refusals.takes_no_conditions("kv/profiles"))


@pytest.mark.parametrize(
    ("condition", "actual", "text"),
    [
        (ABSENT, Stamp(7, "token"), "the item 'key' is at the token 'token' of 1970-01-01T00:00:00.000007Z"),
        (Condition(b"key", Stamp(1, "t")), None, "the item 'key' is absent"),
        (Condition(None, None), Stamp(7, "token"), "the record is at the token 'token' of 1970-01-01T00:00:00.000007Z"),
        (Condition(None, Stamp(1, "t")), None, "the record is absent"),
    ],
)
def test_a_failed_condition_tells_what_was_found(condition: Condition, actual: Stamp | None, text: str) -> None:
    refusal = refusals.condition_failed(condition, actual)
    assert (str(refusal), refusal.field) == (text, "condition")


def test_a_long_key_is_told_in_short() -> None:
    told = str(refusals.condition_failed(Condition(b"k" * 4_096, None), Stamp(7, "token")))
    assert f"{'k' * 64!r}… is at" in told


@pytest.mark.parametrize("field", refusals.FIXED_SETTINGS)
def test_a_fixed_setting_that_differs_is_named(field: str) -> None:
    other = {"conditional": True, "key_order": "desc", "dedicated": True}[field]
    with pytest.raises(AlreadyExists, match=field) as refused:
        refusals.check_fixed_settings(SPEC, msgspec.structs.replace(SPEC, **{field: other}))
    assert (refused.value.field, bool(refused.value.hint)) == (field, True)


def test_settings_that_are_not_fixed_may_differ() -> None:
    refusals.check_fixed_settings(SPEC, msgspec.structs.replace(SPEC, max_lag_us=1, delete_ttl_min_us=2))
