"""The parts of reading that need no server: where a span is cut, and what is live."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.engines.records.cassandra.scripted import Session, requests_of, table_of

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.records.cassandra.driver import LEVELS, LOCAL_SERIAL, SERIAL, root
from soundstage.engines.records.cassandra.failures import TOO_MANY_TOMBSTONES
from soundstage.engines.records.cassandra.reading import Found, Reader, Statics, between, live_rows, unread
from soundstage.engines.records.port import KEY_CEILING, Budget, Page, RangeDelete, Span, TableSpec
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


FAILED = root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})
KEYS = [b"%03d" % number for number in range(100)]


async def test_keys_among_too_many_dead_rows_are_read_in_smaller_pages(environment: VirtualEnvironment) -> None:
    cell = version.put(5, "t", b"value")
    session = Session([FAILED, FAILED, [(version.identity(cell), KEYS[3], cell)]])
    page = await Reader(requests_of(session, environment), environment).points(
        table_of(TableSpec(name="films")), b"record", KEYS, 9, Budget()
    )
    assert (page.rows, page.resume) == ([(KEYS[3], cell)], KEYS[25])
    assert [len(each.request.values[2]) for each in session.sent] == [100, 50, 25]


@pytest.mark.parametrize(("keys", "budget"), [(KEYS, None), (KEYS[:1], Budget())])
async def test_where_keys_cannot_be_read_in_smaller_pages_the_reason_is_said(
    environment: VirtualEnvironment, keys: list[bytes], budget: Budget | None
) -> None:
    reader = Reader(requests_of(Session([FAILED]), environment), environment)
    with pytest.raises(Unavailable) as refused:
        await reader.points(table_of(TableSpec(name="films")), b"record", keys, 9, budget)
    assert "compact" in str(refused.value.hint)


async def test_nothing_behind_too_many_dead_rows_is_a_page_of_nothing(environment: VirtualEnvironment) -> None:
    reader = Reader(requests_of(Session([[], FAILED]), environment), environment)
    page = await reader.page(table_of(TableSpec(name="films")), b"record", Span(b"a", b"b"), Budget(), 9)
    assert (page.rows, page.resume, page.stamp) == ([], None, None)


CELL = version.put(5, "t", bytes(100))
WEIGHT = len(KEYS[0]) + len(CELL)


def rows_of(keys: list[bytes]) -> list[tuple[bytes, bytes, bytes]]:
    return [(version.identity(CELL), key, CELL) for key in keys]


async def test_what_is_read_and_does_not_fit_is_told_of(environment: VirtualEnvironment) -> None:
    reader = Reader(requests_of(Session([rows_of(KEYS[:21])]), environment), environment)
    page = await reader.page(
        table_of(TableSpec(name="films")), b"record", Span(), Budget(bytes=15 * WEIGHT, likely_rows=20), 9
    )
    assert (len(page.rows), page.unused) == (15, 6 * WEIGHT)


async def test_what_is_read_again_with_more_is_told_of(environment: VirtualEnvironment) -> None:
    session, table = Session([rows_of(KEYS[:17]), rows_of(KEYS[:30])]), table_of(TableSpec(name="films"))
    table.row_bytes = 40 * WEIGHT
    reader = Reader(requests_of(session, environment), environment)
    page = await reader.page(table, b"record", Span(), Budget(bytes=40 * WEIGHT), 9)
    assert (len(page.rows), page.unused) == (30, 17 * WEIGHT)


async def test_as_many_rows_as_were_thought_to_do_are_a_page(environment: VirtualEnvironment) -> None:
    reader = Reader(requests_of(Session([rows_of(KEYS[:21])]), environment), environment)
    page = await reader.page(
        table_of(TableSpec(name="films")), b"record", Span(), Budget(bytes=200 * WEIGHT, likely_rows=20), 9
    )
    assert (len(page.rows), page.resume, page.unused) == (21, KEYS[20] + b"\0", 0)


async def test_keys_that_do_not_fit_are_told_of(environment: VirtualEnvironment) -> None:
    reader = Reader(requests_of(Session([rows_of(KEYS[:20])]), environment), environment)
    page = await reader.points(
        table_of(TableSpec(name="films")), b"record", KEYS[:20], 9, Budget(bytes=15 * WEIGHT, likely_rows=30)
    )
    assert (len(page.rows), page.unused) == (15, 5 * WEIGHT)


async def test_a_page_that_has_all_that_was_read_has_nothing_unused(environment: VirtualEnvironment) -> None:
    reader = Reader(requests_of(Session([rows_of(KEYS[:5])]), environment), environment)
    page = await reader.page(table_of(TableSpec(name="films")), b"record", Span(), Budget(), 9)
    assert (len(page.rows), page.unused) == (5, 0)


def test_what_was_read_in_vain_is_no_part_of_what_a_page_says() -> None:
    page = Page([(b"a", CELL)], None, None)
    assert page == Page([(b"a", CELL)], None, None, unused=7)
    assert page != Page([(b"b", CELL)], None, None)
    assert page != Page([(b"a", CELL)], b"b", None)


async def levels_of(environment: VirtualEnvironment, spec: TableSpec, url_level: str = "quorum") -> set[int | None]:
    """At which levels a read of a record, found empty and of deleted ranges, goes out."""
    session = Session([[], [(version.identity(CELL), None, None, None)]] + [[]] * 4)
    reader = Reader(requests_of(session, environment, f"consistency={url_level}"), environment)
    await reader.page(table_of(spec), b"record", Span(), Budget(), 9)
    return {each.request.consistency_level for each in session.sent}


@pytest.mark.parametrize(
    ("spec", "url_level", "level"),
    [
        (TableSpec(name="films", conditional=True, serial=True), "quorum", SERIAL),
        (TableSpec(name="films", conditional=True, serial=True), "local_quorum", LOCAL_SERIAL),
        (TableSpec(name="films", conditional=True), "quorum", LEVELS["quorum"]),
        (TableSpec(name="films", serial=True), "quorum", LEVELS["quorum"]),
        (TableSpec(name="films", eventual=True), "quorum", LEVELS["one"]),
    ],
)
async def test_a_record_is_read_at_the_level_of_its_table(
    environment: VirtualEnvironment, spec: TableSpec, url_level: str, level: int
) -> None:
    assert await levels_of(environment, spec, url_level) == {level}


async def test_the_rows_of_deleted_ranges_are_read_at_the_level_of_their_table(environment: VirtualEnvironment) -> None:
    session = Session([[]])
    spec = TableSpec(name="films", conditional=True, serial=True)
    await Reader(requests_of(session, environment), environment).ranges(table_of(spec), b"record")
    assert [each.request.consistency_level for each in session.sent] == [SERIAL]
