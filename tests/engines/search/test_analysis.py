"""What the words of a text are."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.engines.search.analysis import WORD_MAX_CHARS, caseless, has_longer, spaced, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("The Quick Brown Fox", ["the", "quick", "brown", "fox"]),
        ("don't snake_case 3.14 0x1F", ["don", "t", "snake", "case", "3", "14", "0x1f"]),
        ("  \t\r\n…!?", []),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ΟΔΟΣ οδός", ["οδοσ", "οδόσ"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("\ufb01ne \uff46\uff55\uff4c\uff4c \u2167", ["fine", "full", "viii"]),
        ("七人の侍", ["七", "人", "の", "侍"]),
        ("カタカナ ひら", ["カタカナ", "ひ", "ら"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("안녕하세요 film", ["안녕하세요", "film"]),
        ("🎬 film🎬2", ["film", "2"]),
        ("a\u00adb c\u200bd", ["a", "b", "c", "d"]),
    ],
)
def test_the_words_of(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_long_word_counts_by_its_beginning() -> None:
    assert words(f"{'w' * 500} ä{'ö' * 500}") == ["w" * WORD_MAX_CHARS, "ä" + "ö" * (WORD_MAX_CHARS - 1)]


@given(st.text())
def test_words_are_their_own_words(text: str) -> None:
    found = words(text)
    assert [word for each in found for word in words(each)] == found


@given(st.text())
def test_a_text_without_case_is_its_own_such_text(text: str) -> None:
    assert caseless(caseless(text)) == caseless(text)


@given(st.text())
def test_words_are_never_empty_and_hold_no_white_space(text: str) -> None:
    assert all(word and not any(character.isspace() for character in word) for word in words(text))


@given(st.text(), st.text())
def test_texts_side_by_side_have_the_words_of_both(left: str, right: str) -> None:
    assert words(f"{left} {right}") == words(left) + words(right)


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_texts_are_split_as_all_others(text: str) -> None:
    assert words(text) == words(f"{text} ä")[:-1]


def test_every_mark_stays_with_its_letter() -> None:
    marks = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    split = [hex(ord(mark)) for mark in marks if len(words(f"g{mark}g")) != 1]
    # Those that the compatible form turns into spaces and a mark, or takes away.
    assert split == []


@pytest.mark.parametrize(
    "text", ["", " ", "Heat", "The  Big-Sleep_2", "Straße 7", "a" * 250 + " b", "x " * 80, "映画 Ronin"]
)
def test_words_with_spaces_between_are_the_same_words(text: str) -> None:
    assert spaced(text).split() == words(text)


@given(st.text(st.sampled_from("aB -é"), max_size=30), st.integers(95, 105), st.text(st.sampled_from("c .")))
def test_words_with_spaces_between_are_cut_at_the_greatest_length(before: str, size: int, after: str) -> None:
    text = before + "x" * size + after
    assert spaced(text).split() == words(text)


@pytest.mark.parametrize("text", ["", " ", "…", "- ,"])
def test_where_there_are_no_words_there_is_nothing(text: str) -> None:
    assert spaced(text) == ""


@pytest.mark.parametrize(
    ("found", "expected"), [(b"", False), (b"abc", False), (b"abcd", True), (b"abc abc", False), (b"a abcd a", True)]
)
def test_more_than_so_many_without_a_separator_are_seen(found: bytes, expected: bool) -> None:
    assert has_longer(found, b" ", 3) is expected
