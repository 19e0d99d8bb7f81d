from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import Instant
from soundstage.surface.cli.notation import (
    PREFIXES,
    harmless,
    read_bytes,
    read_file,
    read_instant,
    split_pair,
    write_bytes,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Ada", b"Ada"),
        ("", b""),
        ("text:Ada", b"Ada"),
        ("text:hex:00", b"hex:00"),
        ("text:", b""),
        ("hex:00ff", b"\x00\xff"),
        ("hex:00FF", b"\x00\xff"),
        ("hex:", b""),
        ("base64:AP8=", b"\x00\xff"),
        ("base64:", b""),
        ("Zürich", "Zürich".encode()),
        ("hexagon", b"hexagon"),
        ("TEXT:x", b"TEXT:x"),
    ],
)
def test_bytes_are_read(text: str, value: bytes) -> None:
    assert read_bytes(text) == value


@pytest.mark.parametrize("text", ["hex:0", "hex:zz", "base64:A", "base64:AP8", "base64:A*8=", "base64:ÄP8="])
def test_digits_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_bytes(text)
    assert text.partition(":")[0] in (refused.value.hint or "")


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_bytes(b"\x00line\n")
    assert read_bytes(f"@{path}") == read_file(str(path)) == b"\x00line\n"


@pytest.mark.parametrize("name", ["absent", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_bytes(f"@{name}")


def test_arguments_that_are_no_utf_8_are_read_as_typed() -> None:
    assert read_bytes(b"a\xff".decode("utf-8", "surrogateescape")) == b"a\xff"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"Ada", "Ada"),
        (b"", ""),
        (b"two\nlines\tand a tab", "two\nlines\tand a tab"),
        (b"\x00\x01", "hex:0001"),
        (b"\xff" * 32, "hex:" + "ff" * 32),
        (b"\xff" * 33, "base64:" + "/" * 44),
        (b"hex:1", "text:hex:1"),
        (b"@home", "text:@home"),
        (b"\x1b[31m", "hex:1b5b33316d"),
        ("\u202e".encode(), "hex:e280ae"),
    ],
)
def test_bytes_are_written(value: bytes, text: str) -> None:
    assert write_bytes(value) == text


@given(st.binary(max_size=80) | st.text(max_size=20).map(str.encode) | st.sampled_from(PREFIXES).map(str.encode))
def test_what_is_written_can_be_typed_back(value: bytes) -> None:
    assert read_bytes(write_bytes(value)) == value


@given(st.text(max_size=50))
def test_harmless_text_steers_no_terminal(text: str) -> None:
    assert not {"\x1b", "\x9b", "\x08", "\x7f", "\r"} & set(harmless(text))


def test_harmless_text_without_anything_to_escape_is_unchanged() -> None:
    assert harmless("Zürich, 日本\n") == "Zürich, 日本\n"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1h", "2026-10-24T08:00:00Z"),
        ("0s", "2026-10-24T09:00:00Z"),
        ("1.5d", "2026-10-22T21:00:00Z"),
        ("2026-10-24T08:15:00+02:00", "2026-10-24T08:15:00+02:00"),
        ("soon", "soon"),
    ],
)
def test_a_duration_is_the_instant_so_long_ago_and_all_else_stays(text: str, instant: str) -> None:
    assert read_instant(text, Instant.parse("2026-10-24T09:00:00Z")) == instant


def test_a_pair_ends_its_key_at_the_first_sign() -> None:
    assert split_pair("a=b=c", "KEY=VALUE") == ("a", "b=c")


def test_a_pair_without_a_sign_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'a' is no KEY=VALUE"):
        split_pair("a", "KEY=VALUE")
