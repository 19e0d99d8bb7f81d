"""Patterns of MATCH."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.data.kv.resp.faults import CommandError
from soundstage.data.kv.resp.globs import PATTERN_MAX_BYTES, matcher


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (b"abc", [b"abc"], [b"ab", b"abcd", b""]),
        (b"*", [b"", b"a", b"\xff\n"], []),
        (b"user:*", [b"user:", b"user:1"], [b"use", b"xuser:1"]),
        (b"*:1", [b":1", b"a:1"], [b"a:12"]),
        (b"a*b*c", [b"abc", b"aXbYc", b"abbcc"], [b"acb", b"ab"]),
        (b"ab*ba", [b"abba", b"abXba"], [b"aba"]),
        (b"h?llo", [b"hello", b"h\nllo"], [b"hllo"]),
        (b"h[ae]llo", [b"hello", b"hallo"], [b"hillo"]),
        (b"h[^e]llo", [b"hallo"], [b"hello"]),
        (b"[a-c]", [b"a", b"b", b"c"], [b"d", b"-"]),
        (b"[c-a]", [b"a", b"b"], [b"d"]),
        (b"[\\]]", [b"]"], [b"\\"]),
        (b"[]", [], [b"", b"]"]),
        (b"[^]", [b"x"], [b""]),
        (b"[ab", [b"a", b"b"], [b"["]),
        (b"\\*", [b"*"], [b"a"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"**a**", [b"a", b"bab"], [b"b"]),
        (b"a.b", [b"a.b"], [b"axb"]),
        (b"", [b""], [b"a"]),
    ],
)
def test_names_are_matched_as_redis_does(pattern: bytes, yes: list[bytes], no: list[bytes]) -> None:
    matches = matcher(pattern)
    assert [name for name in yes if not matches(name)] == []
    assert [name for name in no if matches(name)] == []


@given(pattern=st.text("ab*?", max_size=8), name=st.text("ab", max_size=8))
def test_stars_match_as_a_regular_expression_would(pattern: str, name: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(letter, letter) for letter in pattern)
    assert matcher(pattern.encode())(name.encode()) == (re.fullmatch(expression, name) is not None)


@given(pattern=st.binary(max_size=20), name=st.binary(max_size=20))
def test_any_bytes_are_a_pattern(pattern: bytes, name: bytes) -> None:
    assert matcher(pattern)(name) in (True, False)


def test_many_stars_take_no_long_time() -> None:
    assert not matcher(b"a*" * 400 + b"b")(b"a" * 1_024)


def test_a_pattern_is_bounded() -> None:
    with pytest.raises(CommandError):
        matcher(b"a" * (PATTERN_MAX_BYTES + 1))
