"""The parts of reading that need no server: where a span is cut, and what is live."""

from __future__ import annotations

import pytest
from hypothesis import given

from soundstage.core import version
from soundstage.engines.records.cassandra.reading import Found, Statics, between, live_rows, unread
from soundstage.engines.records.port import KEY_CEILING, RangeDelete, Span
from soundstage.testing.records.examples import EXAMPLES, bounds


@EXAMPLES
@given(bounds, bounds)
def test_a_key_between_two_lies_between_them(low: bytes, high: bytes) -> None:
    middle = between(low, high)
    if middle is not None:
        assert low < middle < high


@pytest.mark.parametrize(("low", "high"), [(b"", b"\xff"), (b"a", b"b"), (b"a", KEY_CEILING), (b"2026-01", b"2026-02")])
def test_cutting_in_half_again_and_again_ends(low: bytes, high: bytes) -> None:
    cuts = 0
    while (middle := between(low, high)) is not None and len(middle) < 64:
        high, cuts = middle, cuts + 1
    assert 0 < cuts < 64 * 8


@pytest.mark.parametrize(("low", "high"), [(b"a", b"a"), (b"b", b"a"), (b"a", b"a\0")])
def test_between_neighbours_lies_nothing(low: bytes, high: bytes) -> None:
    assert between(low, high) is None


@pytest.mark.parametrize(
    ("span", "resume"),
    [
        (Span(b"a", b"c"), b"a"),
        (Span(b"a", b"c", True), b"c"),
        (Span(b"a", None, True), KEY_CEILING),
    ],
)
def test_a_page_of_nothing_resumes_where_its_span_begins(span: Span, resume: bytes) -> None:
    assert unread(span).resume == resume


def test_what_a_delete_or_time_has_taken_is_not_live() -> None:
    rows = [
        (b"", b"a", version.put(5, "t", b"")),
        (b"", b"b", version.put(5, "t", b"", expires_us=10)),
        (b"", b"c", version.delete(5, "t")),
        (b"", b"d", version.put(5, "t", b"")),
        (b"", b"e", version.put(1, "t", b"")),
    ]
    fragments = (RangeDelete(b"d", b"e", version.delete(6, "t")),)
    found = Found(Statics(tombstone=version.delete(2, "t")), rows, fragments)
    assert [key for key, _ in live_rows(found, 10)] == [b"a"]
    assert [key for key, _ in live_rows(Found(Statics(), rows, ()), 9)] == [b"a", b"b", b"d", b"e"]
