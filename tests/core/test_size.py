"""Sizes with units of both kinds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("12B", 12),
        ("4MiB", 4 << 20),
        ("1KiB", 1024),
        ("1kB", 1000),
        ("2GB", 2 * 10**9),
        ("3GiB", 3 << 30),
        ("1TiB", 1 << 40),
        ("1TB", 10**12),
        ("1.5KiB", 1536),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "4 MiB", "4mib", "4KB", "1.5B", "0.3kiB", "4MiBs"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Size.parse(text)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="negative"):
        Size.parse("-4MiB")


def test_a_size_beyond_int64_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="beyond the largest size"):
        Size.parse("9999999TiB")


@given(st.integers(0, 2**63 - 1).map(Size))
def test_text_gives_the_size_back(size: Size) -> None:
    assert Size.parse(str(size)) == size


@pytest.mark.parametrize(("size", "text"), [(0, "0B"), (1000, "1000B"), (1024, "1KiB"), (4 << 20, "4MiB")])
def test_a_size_is_written_in_its_largest_exact_unit(size: int, text: str) -> None:
    assert str(Size(size)) == text


def test_a_size_shows_itself_as_the_integer() -> None:
    assert repr(Size(5)) == "Size(5)"
