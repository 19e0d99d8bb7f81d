"""What a name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable

_CUTOFF = 0.65
_WORD_CUTOFF = 0.5


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `name` most resembles, or None when none is close.

    Of names that are made of as many words, every word must resemble its counterpart: what ends alike may mean
    something else altogether.
    """
    from difflib import SequenceMatcher, get_close_matches

    def word_by_word(other: str) -> bool:
        words, others = name.split("_"), other.split("_")
        return len(words) != len(others) or all(
            SequenceMatcher(None, *pair).ratio() >= _WORD_CUTOFF for pair in zip(words, others, strict=True)
        )

    found = get_close_matches(name, sorted(known), n=3, cutoff=_CUTOFF)
    return next(filter(word_by_word, found), None)
