"""Which keys a request is about."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.kv.conftest import ALL, between, item, keys, values

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.data.kv.api import KeyValue, MatchAll, MatchKeys, MatchRange, Predicate, Selection
from soundstage.data.kv.predicates import EVERYTHING, Wanted, bounds_of, check_keys, checked, wanted_of
from soundstage.engines.records.port import KEY_CEILING, Span

TWO = [
    Predicate(match_all=MatchAll(), match_keys=MatchKeys(keys=[])),
    Predicate(match_all=MatchAll(), match_range=MatchRange()),
    Predicate(match_keys=MatchKeys(keys=[]), match_range=MatchRange()),
]


def test_no_predicate_matches_everything() -> None:
    assert checked(None) is EVERYTHING


@pytest.mark.parametrize("predicate", [ALL, keys(b"a"), between(b"a")])
def test_a_predicate_of_one_kind_is_one(predicate: Predicate) -> None:
    assert checked(predicate) is predicate


@pytest.mark.parametrize("predicate", TWO)
def test_two_kinds_at_once_are_refused_by_name(predicate: Predicate) -> None:
    with pytest.raises(InvalidArgument, match=r"predicate has match_\w+ and match_") as refused:
        checked(predicate)
    assert (refused.value.field, refused.value.hint) == (
        "predicate",
        "give exactly one of match_all, match_keys, match_range",
    )


def test_an_empty_predicate_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="predicate is empty"):
        checked(Predicate())


@pytest.mark.parametrize(
    ("match", "bounds"),
    [
        (MatchRange(), (b"", None)),
        (MatchRange(start=b"a", end=b"b"), (b"a", b"b")),
        (MatchRange(start=b"a", start_inclusive=False), (b"a\0", None)),
        (MatchRange(end=b"b", end_inclusive=True), (b"", b"b\0")),
        (MatchRange(start_inclusive=False, end_inclusive=True), (b"", None)),
        (MatchRange(start=b"a", end=b"a"), (b"a", b"a")),
        (MatchRange(start=b"a", end=b"a", end_inclusive=True), (b"a", b"a\0")),
        (MatchRange(start=b"a", end=b"a", start_inclusive=False), (b"a\0", b"a\0")),
        (MatchRange(start=b"a", end=b"a", start_inclusive=False, end_inclusive=True), (b"a\0", b"a\0")),
        (MatchRange(start=b"", end=b""), (b"", b"")),
        (MatchRange(start=b"", start_inclusive=False), (b"\0", None)),
    ],
)
def test_bounds_are_start_inclusive_and_end_exclusive(match: MatchRange, bounds: tuple[bytes, bytes | None]) -> None:
    assert bounds_of(match) == bounds


def test_a_reversed_range_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidArgument, match="starts after its end") as refused:
        bounds_of(MatchRange(start=b"b", end=b"a"))
    assert refused.value.field == "predicate.match_range"
    assert "selection.reverse" in (refused.value.hint or "")


@pytest.mark.parametrize("bound", ["start", "end"])
def test_a_bound_is_no_longer_than_a_key(bound: str) -> None:
    longest: dict[str, Any] = {bound: b"\xff" * 4_096}
    longer: dict[str, Any] = {bound: b"\xff" * 4_097}
    bounds_of(MatchRange(**longest))
    with pytest.raises(InvalidArgument, match="4097 bytes") as refused:
        bounds_of(MatchRange(**longer))
    assert refused.value.field == f"predicate.match_range.{bound}"


@pytest.mark.parametrize("bound", ["start", "end"])
def test_a_bound_that_is_text_is_refused(bound: str) -> None:
    text: dict[str, Any] = {bound: "a"}
    with pytest.raises(InvalidArgument, match="is str, not bytes"):
        bounds_of(MatchRange(**text))


def test_a_key_named_twice_is_refused_with_both_places() -> None:
    with pytest.raises(InvalidArgument, match=r"keys\[3\] is the same key as keys\[1\]") as refused:
        check_keys([b"a", b"b", b"c", b"b"], "keys[{}]")
    assert refused.value.field == "keys[3]"


def test_the_key_that_is_too_long_is_named() -> None:
    with pytest.raises(InvalidArgument, match="the limit is 4096") as refused:
        check_keys([b"a", b"x" * 4_097], "keys[{}]")
    assert refused.value.field == "keys[1]"


def test_the_key_that_is_no_bytes_is_named() -> None:
    given: list[Any] = [b"a", "b"]
    with pytest.raises(InvalidArgument, match="is str, not bytes") as refused:
        check_keys(given, "keys[{}]")
    assert refused.value.field == "keys[1]"


def test_keys_up_to_the_limit_of_a_call_are_taken() -> None:
    many = [b"%d" % number for number in range(5_001)]
    assert check_keys(many[:-1], "keys[{}]") == many[:-1]
    with pytest.raises(TooLarge, match="5001 entries") as refused:
        check_keys(many, "keys[{}]")
    assert refused.value.field == "keys"


@pytest.mark.parametrize("key", [b"", b"\0", b"x" * 4_096])
def test_the_empty_and_the_longest_key_are_keys(key: bytes) -> None:
    assert check_keys([key], "keys[{}]") == [key]


@pytest.mark.parametrize(("reverse", "order"), [(False, [b"", b"a", b"b"]), (True, [b"b", b"a", b""])])
def test_keys_are_read_in_the_order_of_keys(reverse: bool, order: list[bytes]) -> None:
    assert wanted_of(keys(b"b", b"", b"a"), reverse=reverse).keys == order


@pytest.mark.parametrize(
    ("wanted", "beginning"),
    [
        (Wanted(Span(b"a", b"c")), b"a"),
        (Wanted(Span(b"a", b"c", True)), b"c"),
        (Wanted(Span(b"a", None, True)), KEY_CEILING),
        (wanted_of(keys(b"x")), b""),
        (wanted_of(keys(b"x"), reverse=True), KEY_CEILING),
    ],
)
def test_what_has_not_begun_goes_on_at_its_beginning(wanted: Wanted, beginning: bytes) -> None:
    assert wanted.beginning == beginning
    assert wanted.after(beginning).keys == wanted.keys


def test_a_span_goes_on_from_where_it_ended() -> None:
    assert Wanted(Span(b"a", b"z")).after(b"k") == Wanted(Span(b"k", b"z"))
    assert Wanted(Span(b"a", b"z", True)).after(b"k") == Wanted(Span(b"a", b"k", True))


@pytest.mark.parametrize(("reverse", "left"), [(False, [b"b", b"c"]), (True, [b"b", b"a"])])
def test_keys_go_on_with_the_one_not_returned(reverse: bool, left: list[bytes]) -> None:
    wanted = wanted_of(keys(b"a", b"b", b"c"), reverse=reverse)
    assert wanted.after(wanted.resume_at(b"b")).keys == left


# Through a stage.


NAMES = (b"", b"a", b"a\0", b"b", b"c")


@pytest.fixture
async def letters(kv: KeyValue) -> KeyValue:
    await kv.put_items(id="letters", items=[item(name) for name in NAMES])
    return kv


@pytest.mark.parametrize(
    ("predicate", "found"),
    [
        (None, NAMES),
        (ALL, NAMES),
        (between(), NAMES),
        (keys(), ()),
        (keys(b"c", b"none", b"a"), (b"a", b"c")),
        (between(b"a", b"b"), (b"a", b"a\0")),
        (between(b"a", b"b", start_inclusive=False, end_inclusive=True), (b"a\0", b"b")),
        (between(b"b"), (b"b", b"c")),
        (between(end=b"a"), (b"",)),
        (between(b"a", b"a"), ()),
        (between(b"a", b"a", end_inclusive=True), (b"a",)),
        (between(b"a", b"a", start_inclusive=False), ()),
        (between(b"x"), ()),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
async def test_a_read_shows_what_the_predicate_matches_in_order(
    letters: KeyValue, predicate: Predicate | None, found: tuple[bytes, ...], reverse: bool
) -> None:
    reply = await letters.get_items(id="letters", predicate=predicate, selection=Selection(reverse=reverse))
    assert tuple(values(reply.items)) == (found[::-1] if reverse else found)
    assert reply.record_token is not None


@pytest.mark.parametrize(
    ("predicate", "left"),
    [
        (ALL, ()),
        (keys(b"", b"b", b"none"), (b"a", b"a\0", b"c")),
        (between(b"a", b"b"), (b"", b"b", b"c")),
        (between(b"a", b"b", start_inclusive=False, end_inclusive=True), (b"", b"a", b"c")),
        (between(end=b"b"), (b"b", b"c")),
        (between(b"a"), (b"",)),
        (between(b"a", b"a"), NAMES),
        (between(b"a", b"a", end_inclusive=True), (b"", b"a\0", b"b", b"c")),
    ],
)
async def test_a_delete_takes_what_the_predicate_matches(
    letters: KeyValue, predicate: Predicate, left: tuple[bytes, ...]
) -> None:
    await letters.delete_items(id="letters", predicate=predicate)
    assert tuple(values((await letters.get_items(id="letters")).items)) == left
