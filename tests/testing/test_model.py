"""The plain model of what stored data means."""

from __future__ import annotations

from itertools import permutations

import pytest

from soundstage.testing.model import Condition, Model, Put, Stamp, Version, Write

K = b"k"


def put(at: int, token: str = "p", value: bytes = b"v", expires: int = 0, key: bytes = K) -> Write:
    return Write(token=token, time_us=at, puts={key: Put(value, expires)})


def deletes(at: int) -> dict[str, Write]:
    """A write of each kind that deletes the key."""
    return {
        "record": Write(token="d", time_us=at, whole=True),
        "range": Write(token="d", time_us=at, ranges=[(b"k", b"l")]),
        "marker": Write(token="d", time_us=at, markers=[K]),
    }


def model_of(*writes: Write) -> Model:
    model = Model()
    for write in writes:
        model.apply("record", write)
    return model


def shown(model: Model, now: int = 100) -> dict[bytes, bytes]:
    return {key: found.value for key, found in model.items("record", now).items()}


def attempt(model: Model, write: Write, *conditions: Condition, digest: bytes = b"d", limit: int = 1_000) -> int | str:
    return model.apply_if("record", write, conditions, digest, limit, 100)


def test_a_record_never_written_has_nothing() -> None:
    assert (shown(Model()), Model().stamp("record")) == ({}, None)


def test_a_put_shows_under_its_key() -> None:
    assert model_of(put(5)).items("record", 100) == {K: Version(5, 0, "p", 0, b"", b"v")}


@pytest.mark.parametrize("writes", list(permutations([put(1, value=b"1"), put(2, value=b"2"), put(3, value=b"3")])))
def test_the_greatest_version_shows_in_whatever_order_it_came(writes: tuple[Write, ...]) -> None:
    assert shown(model_of(*writes)) == {K: b"3"}


def test_at_one_time_the_greater_token_and_then_the_greater_payload_wins() -> None:
    assert shown(model_of(put(1, "b", b"x"), put(1, "a", b"y"))) == {K: b"x"}
    assert shown(model_of(put(1, "a", b"y"), put(1, "a", b"x"))) == {K: b"y"}


@pytest.mark.parametrize("kind", ["record", "range", "marker"])
@pytest.mark.parametrize(("at", "there"), [(4, True), (5, False), (6, False)])
def test_a_delete_hides_what_is_not_later(kind: str, at: int, there: bool) -> None:
    assert bool(shown(model_of(deletes(at)[kind], put(5)))) is there


@pytest.mark.parametrize(("start", "end", "hidden"), [(b"a", b"k", False), (b"k", None, True), (b"k\0", None, False)])
def test_a_range_holds_its_start_and_not_its_end(start: bytes, end: bytes | None, hidden: bool) -> None:
    deleted = Write(token="d", time_us=9, ranges=[(start, end)])
    assert (shown(model_of(put(5), deleted)) == {}) is hidden


@pytest.mark.parametrize(("now", "there"), [(9, True), (10, False), (11, False)])
def test_an_item_is_absent_from_its_expiry_on(now: int, there: bool) -> None:
    assert bool(shown(model_of(put(1, expires=10)), now)) is there


def test_an_expired_put_hides_what_is_older() -> None:
    assert shown(model_of(put(2, expires=10), put(1, value=b"older"))) == {}


def test_items_come_in_the_order_of_their_keys_and_within_bounds() -> None:
    model = model_of(*(put(1, key=key) for key in (b"c", b"a", b"b")))
    assert list(shown(model)) == [b"a", b"b", b"c"]
    assert list(model.items("record", 100, b"b", b"c")) == [b"b"]


@pytest.mark.parametrize("kind", ["record", "range", "marker"])
def test_the_stamp_is_that_of_the_greatest_write_deletes_included(kind: str) -> None:
    assert model_of(put(5), deletes(7)[kind], put(6, expires=1)).stamp("record") == Stamp(7, "d")


def test_records_are_apart() -> None:
    assert model_of(put(1)).items("other", 100) == {}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition(K, Stamp(5, "p")), True),
        (Condition(K, Stamp(5, "q")), False),
        (Condition(K, None), False),
        (Condition(b"other", None), True),
        (Condition(b"other", Stamp(5, "p")), False),
        (Condition(None, Stamp(5, "p")), True),
        (Condition(None, None), False),
    ],
)
def test_a_condition_holds_of_an_item_or_of_the_record(condition: Condition, holds: bool) -> None:
    answer = attempt(model_of(put(5)), put(50, "new"), condition)
    assert answer == (50 if holds else "precondition_failed")


def test_an_expired_item_counts_as_absent() -> None:
    model = model_of(put(5, expires=100))
    assert attempt(model, put(50, "new"), Condition(K, None), Condition(None, None)) == 50


def test_a_conditional_write_is_stamped_after_the_newest() -> None:
    model = model_of(put(60))
    assert attempt(model, put(50, "new"), Condition(None, Stamp(60, "p"))) == 61
    assert model.stamp("record") == Stamp(61, "new")


@pytest.mark.parametrize(("limit", "answer"), [(61, 61), (60, "unavailable")])
def test_a_stamp_over_the_limit_is_unavailable(limit: int, answer: int | str) -> None:
    assert attempt(model_of(put(60)), put(50, "new"), limit=limit) == answer


def test_a_repetition_is_answered_as_the_first_and_changes_nothing() -> None:
    model = model_of()
    assert attempt(model, put(50, "new", b"1"), Condition(K, None)) == 50
    model.apply("record", put(70, value=b"2"))
    assert attempt(model, put(50, "new", b"1"), Condition(K, None)) == 50
    assert shown(model) == {K: b"2"}


def test_another_request_under_the_token_is_reused() -> None:
    model = model_of()
    attempt(model, put(50, "new"))
    assert attempt(model, put(50, "new"), digest=b"other") == "token_reused"


def test_a_refusal_changes_nothing_and_is_not_remembered() -> None:
    model = model_of(put(5))
    before = model.items("record", 100)
    assert attempt(model, put(50, "new"), Condition(K, None)) == "precondition_failed"
    assert model.items("record", 100) == before
    assert attempt(model, put(50, "new"), digest=b"other") == 50


@pytest.mark.parametrize(("at", "answer"), [(50, "token_reused"), (61, "token_reused"), (62, 62)])
def test_a_write_without_conditions_under_the_token_is_reused_until_its_time(at: int, answer: int | str) -> None:
    model = model_of(put(60))
    attempt(model, put(50, "new"))
    assert model.apply("record", put(at, "new")) == answer
