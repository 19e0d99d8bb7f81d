"""How instants, durations and sizes stand on the wire."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument
from soundstage.core.scalars import (
    DURATION_PATTERN,
    decode_scalar,
    encode_json_scalar,
    encode_msgpack_scalar,
    scalar_schema,
)
from soundstage.core.size import Size
from soundstage.core.time import Duration, Instant

int64 = st.integers(-(2**63), 2**63 - 1)


@given(int64.map(Instant))
def test_instants_come_back_from_either_format(instant: Instant) -> None:
    assert decode_scalar(Instant, encode_json_scalar(instant)) == instant
    assert decode_scalar(Instant, encode_msgpack_scalar(instant)) == instant


@given(int64.map(Instant))
def test_instants_are_read_as_digits_too(instant: Instant) -> None:
    assert decode_scalar(Instant, str(int(instant))) == instant


@given(int64.map(Duration))
def test_durations_come_back_from_either_format(duration: Duration) -> None:
    assert decode_scalar(Duration, encode_json_scalar(duration)) == duration
    assert encode_json_scalar(duration) == encode_msgpack_scalar(duration)


@given(st.integers(0, 2**63 - 1).map(Size))
def test_sizes_are_integers_and_read_as_text_too(size: Size) -> None:
    assert decode_scalar(Size, encode_json_scalar(size)) == decode_scalar(Size, str(size)) == size


def test_a_scalar_of_the_type_is_taken_as_it_is() -> None:
    instant = Instant(5)
    assert decode_scalar(Instant, instant) is instant


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (Instant, 2**63),
        (Instant, str(2**63)),
        (Instant, 1.5),
        (Instant, True),
        (Instant, b"2026"),
        (Instant, "soon"),
        (Duration, 5),
        (Duration, "5"),
        (Duration, "-"),
        (Size, -1),
        (Size, "-1KiB"),
        (Size, 2.0),
        (Size, 2**63),
        (Size, None),
    ],
)
def test_anything_else_is_refused(expected: type[Any], value: Any) -> None:
    with pytest.raises(InvalidArgument):
        decode_scalar(expected, value)


def test_types_that_no_message_holds_are_a_defect() -> None:
    with pytest.raises(TypeError):
        decode_scalar(complex, 1)
    with pytest.raises(TypeError):
        encode_json_scalar(1j)
    with pytest.raises(NotImplementedError):
        scalar_schema(complex)


@pytest.mark.parametrize("scalar", [Instant, Duration, Size])
def test_every_scalar_has_a_schema(scalar: type[Any]) -> None:
    assert scalar_schema(scalar)


@given(st.from_regex(DURATION_PATTERN, fullmatch=True))
def test_what_the_pattern_of_durations_allows_is_one(text: str) -> None:
    assert decode_scalar(Duration, text.rstrip("\n")) >= 0


@given(int64.filter(lambda ns: 0 <= ns < 10**18).map(Duration))
def test_durations_of_decades_match_it_as_they_are_written(duration: Duration) -> None:
    assert re.fullmatch(DURATION_PATTERN, str(duration))


@pytest.mark.parametrize(("expected", "value"), [(Instant, 2**63), (Size, -1), (Size, 2**63)])
def test_what_is_out_of_bounds_is_told_the_bounds(expected: type[Any], value: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_scalar(expected, value)
    assert str(caught.value.hint).startswith("use ")
