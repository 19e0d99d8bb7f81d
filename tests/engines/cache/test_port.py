from __future__ import annotations

import msgspec
import pytest

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.cache.port import (
    ABSENT,
    ALWAYS,
    DELTA_MIN,
    KEY_MAX_BYTES,
    MISS,
    TTL_MAX_S,
    UNAVAILABLE,
    VALUE_MAX_BYTES,
    Found,
    Newer,
    Outcome,
    Unchanged,
    When,
    check_delta,
    check_key,
    check_keys,
    check_ttl,
    check_value,
    check_when,
)


def test_only_a_hit_is_a_hit() -> None:
    assert Found(Outcome.HIT, b"").hit
    assert not MISS.hit
    assert not UNAVAILABLE.hit


def test_what_is_at_the_bounds_is_allowed() -> None:
    check_key(b"k" * KEY_MAX_BYTES)
    check_keys([b"k"] * 1_000)
    check_value(bytes(VALUE_MAX_BYTES))
    check_ttl(0)
    check_ttl(TTL_MAX_S)
    check_delta((1 << 64) - 1)
    check_delta(DELTA_MIN)
    check_when(Newer((1 << 64) - 1))
    check_when(Unchanged(0))


def test_the_refusal_of_a_large_value_says_what_to_do() -> None:
    with pytest.raises(TooLarge) as caught:
        check_value(bytes(VALUE_MAX_BYTES + 1))
    assert "blobs" in str(caught.value.hint)


def test_one_wrong_key_of_many_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least one byte"):
        check_keys([b"a", b"", b"c"])


def test_what_has_more_bits_with_its_sign_than_a_counter_is_not_added() -> None:
    with pytest.raises(InvalidArgument, match="what is added"):
        check_delta(DELTA_MIN - 1)


def test_conditions_differ_though_their_numbers_are_alike() -> None:
    assert len({ABSENT, ALWAYS, Newer(5), Unchanged(5)}) == 4


@pytest.mark.parametrize("when", [ABSENT, ALWAYS, Newer((1 << 64) - 1), Unchanged(3)])
def test_a_condition_travels(when: When) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(when), type=When) == when
