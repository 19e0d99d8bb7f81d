"""Sets as they are checked, named and encoded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import DataLoss, InvalidArgument, TooLarge
from soundstage.data.writeahead.sets import (
    SET_MAX_BYTES,
    AcceptedSet,
    accepted_set,
    check,
    checksum_of,
    decode,
    digest_of,
    encode,
    mutation_id_of,
)
from soundstage.data.writeahead.target import MUTATIONS_MAX, Submission


def submission(*mutations: bytes, **fields: Any) -> Submission:
    given: dict[str, Any] = {"token": "t", "time_us": 5, "mutations": mutations or (b"m",), **fields}
    return Submission(**given)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.integers(1, 2**60), st.text(max_size=8))
def test_a_set_is_read_as_it_was_encoded(mutations: list[bytes], time_us: int, token: str) -> None:
    accepted = accepted_set(Submission(token=token, time_us=time_us, mutations=mutations), 9)
    assert decode(encode(accepted)) == AcceptedSet(1, token, time_us, 9, 0, mutations)


def test_a_set_that_is_due_later_has_the_time_it_is_due() -> None:
    assert accepted_set(submission(time_us=5, due_us=70), 6).time_us == 70


def test_a_set_is_due_no_earlier_than_its_token() -> None:
    assert accepted_set(submission(time_us=5, due_us=3), 6).time_us == 5


def test_a_set_as_large_as_the_log_takes_is_encoded() -> None:
    assert len(encode(accepted_set(submission(bytes(SET_MAX_BYTES - 40)), 1))) <= SET_MAX_BYTES


def test_a_larger_set_is_refused() -> None:
    with pytest.raises(TooLarge, match="the limit is") as caught:
        encode(accepted_set(submission(bytes(SET_MAX_BYTES)), 1))
    assert caught.value.field == "mutations"


@pytest.mark.parametrize("damaged", [b"", b"\xc1", b"\x91\x01", msgspec.msgpack.encode("text")])
def test_what_is_no_set_is_told(damaged: bytes) -> None:
    with pytest.raises(DataLoss, match="cannot be read"):
        decode(damaged)


def test_a_set_of_another_format_is_told() -> None:
    with pytest.raises(DataLoss, match="format 2"):
        decode(msgspec.msgpack.encode(AcceptedSet(2, "t", 1, 1, 0, [])))


def test_a_set_holds_at_least_one_mutation() -> None:
    with pytest.raises(InvalidArgument, match="is empty"):
        check(Submission(token="t", time_us=1, mutations=[]))


def test_a_set_of_a_thousand_passes() -> None:
    check(submission(*[b"m"] * MUTATIONS_MAX))


def test_a_set_holds_no_more_than_a_thousand() -> None:
    with pytest.raises(TooLarge, match="1001 entries, the limit is 1000"):
        check(submission(*[b"m"] * (MUTATIONS_MAX + 1)))


@pytest.mark.parametrize("token", ["x" * 60, "é" * 30])
def test_a_token_has_room_for_the_number_of_a_mutation(token: str) -> None:
    check(submission(token=token))


@pytest.mark.parametrize("token", ["x" * 61, "é" * 31])
def test_a_token_without_that_room_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match="the limit is 60"):
        check(submission(token=token))


@pytest.mark.parametrize("token", ["", "a\0b", "x" * 65])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(submission(token=token))
    assert caught.value.field == "idempotency_token.token"


def test_the_name_of_a_set_tells_targets_callers_and_tokens_apart() -> None:
    names = {mutation_id_of(*each) for each in [("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("a", "b", "d")]}
    assert len(names) == 4
    assert all(len(name) == 32 for name in names)


def test_the_name_of_a_set_is_always_the_same() -> None:
    assert mutation_id_of("kv", "local", "t") == mutation_id_of("kv", "local", "t")


@pytest.mark.parametrize(
    "other",
    [submission(b"m", b""), submission(b"n"), submission(time_us=6), submission(due_us=6), submission(b"", b"m")],
)
def test_another_request_has_another_digest(other: Submission) -> None:
    assert digest_of(other) != digest_of(submission())


def test_the_digest_says_nothing_of_the_token() -> None:
    assert digest_of(submission(token="u")) == digest_of(submission())


def test_a_checksum_tells_bytes_apart() -> None:
    assert checksum_of(b"a") != checksum_of(b"b")
