"""Integers that arrive as text, or with a fraction of nothing."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from soundstage.core.digits import TextInteger, decode_text_scalar
from soundstage.core.time import Duration

SMALL = TextInteger.of(Annotated[int, msgspec.Meta(ge=0, le=100)])


def read(body: bytes) -> Any:
    return msgspec.json.decode(body, type=SMALL, dec_hook=decode_text_scalar)


@pytest.mark.parametrize(
    ("body", "number"), [(b"5", 5), (b'"5"', 5), (b'"0"', 0), (b'"100"', 100), (b"5.0", 5), (b"1e1", 10)]
)
def test_digits_are_read_as_the_number(body: bytes, number: int) -> None:
    assert (read(body), type(read(body))) == (number, int)


@pytest.mark.parametrize("body", [b'"101"', b'"-1"', b"101", b'"x"', b'""', b'"05"', b"5.5", b"true", b"null", b"[]"])
def test_what_the_bounds_do_not_allow_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(body)


LARGE = TextInteger.of(Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)])


@pytest.mark.parametrize(("body", "number"), [(b"9007199254740992.0", 2**53), (b"-9007199254740992.0", -(2**53))])
def test_doubles_are_read_as_far_as_they_are_exact(body: bytes, number: int) -> None:
    assert msgspec.json.decode(body, type=LARGE, dec_hook=decode_text_scalar) == number


@pytest.mark.parametrize("body", [b"9007199254740994.0", b"1e300", b"-1e300", b"0.5"])
def test_doubles_beyond_are_not(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=LARGE, dec_hook=decode_text_scalar)


def test_very_long_digits_are_not_even_tried() -> None:
    with pytest.raises(msgspec.ValidationError):
        read(b'"' + b"9" * 5_000 + b'"')


def test_other_scalars_are_read_as_ever() -> None:
    assert decode_text_scalar(Duration, "5s") == 5_000_000_000
