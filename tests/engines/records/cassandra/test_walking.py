"""The parts of walks that need no server: a stretch of the ring taken apart, and where a page ends."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engines.records.cassandra.scripted import ADDRESS, Session, requests_of, table_of

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.deletions import row_key
from soundstage.engines.records.cassandra.driver import root
from soundstage.engines.records.cassandra.failures import TOO_MANY_TOMBSTONES
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.reading import Reader
from soundstage.engines.records.cassandra.walking import (
    Walker,
    _reached,  # pyright: ignore[reportPrivateUsage]
    _take,  # pyright: ignore[reportPrivateUsage]
    split,
)
from soundstage.engines.records.metering import Meter
from soundstage.engines.records.port import KEY_CEILING, Budget, RangeDelete, Row, TableSpec
from soundstage.engines.records.segments import encode_position

CELL = version.put(5, "t", b"value")
ROWS: list[Row] = [(b"a", CELL), (b"b", CELL)]


def meter(rows: int, environment: VirtualEnvironment) -> Meter:
    return Meter(Budget(rows=rows), environment)


def item(partition: bytes, key: bytes) -> Any:
    return partition, b"newest", None, None, 1, schema.ITEM, key, CELL


def test_a_stretch_holds_partitions_with_their_items() -> None:
    found = list(split([item(b"p", b"a"), item(b"p", b"b"), item(b"q", b"a")], conditional=True))
    assert [(partition, len(each.rows), last) for partition, each, last in found] == [(b"p", 2, False), (b"q", 1, True)]


def test_what_is_no_item_is_none_and_ranges_hide() -> None:
    deleted = RangeDelete(b"a", b"b", version.delete(9, "t"))
    rows = [
        (b"p", b"newest", None, True, 1, schema.RANGE, row_key(deleted), deleted.cell),
        (b"p", b"newest", None, True, 1, schema.SENTINEL, b"", b""),
        item(b"p", b"a"),
        (b"p", b"newest", None, True, 1, schema.LEDGER, b"token", b"stamp"),
    ]
    ((_, found, _),) = split(rows, conditional=True)
    assert ([row[-2] for row in found.rows], found.fragments) == ([b"a"], (deleted,))


def test_a_partition_without_rows_holds_nothing() -> None:
    ((_, found, _),) = split([(b"p", b"newest", None, None, None)], conditional=False)
    assert list(found.rows) == []


def test_a_cut_partition_goes_on_after_the_last_row_that_was_read() -> None:
    assert _reached(item(b"p", b"k")) == b"k\0"
    assert _reached((b"p", schema.RANGE, b"", b"")) == b""
    assert _reached((b"p", schema.LEDGER, b"", b"")) == KEY_CEILING
    assert _reached((b"p", None, None, None)) == KEY_CEILING


TABLE = TableSpec(name="films")


def walker_of(session: Session, environment: VirtualEnvironment) -> Walker:
    requests = requests_of(session, environment)
    return Walker(Link(ADDRESS), requests, Reader(requests, environment), environment)


async def test_a_walk_that_has_no_time_says_where_to_begin_and_asks_nothing(environment: VirtualEnvironment) -> None:
    session = Session()
    late = Budget(deadline_ns=environment.monotonic_ns())
    page = await walker_of(session, environment).page(table_of(TABLE), 0, 1, None, late, 0)
    assert (page.partitions, page.cut, session.sent) == ([], False, [])
    assert page.position is not None


async def test_a_walk_goes_on_where_one_without_time_ended(environment: VirtualEnvironment) -> None:
    session = Session([[(b"p", b"newest", schema.ITEM, b"a", CELL)]])
    walker = walker_of(session, environment)
    late = Budget(deadline_ns=environment.monotonic_ns())
    position = (await walker.page(table_of(TABLE), 1, 4, None, late, 0)).position
    page = await walker.page(table_of(TABLE), 1, 4, position, Budget(), 0)
    low, high = session.sent[0].request.values[:2]
    assert (low, high) == (-(1 << 62), -1)
    assert (page.partitions, page.position) == ([(b"p", [(b"a", CELL)])], None)


async def test_a_walk_that_is_not_answered_ends_at_its_deadline(environment: VirtualEnvironment) -> None:
    walker = walker_of(Session([root.OperationTimedOut()]), environment)
    page = await walker.page(
        table_of(TABLE), 0, 1, None, Budget(deadline_ns=environment.monotonic_ns() + 1_000_000_000), 0
    )
    assert (page.partitions, page.cut) == ([], False)


async def test_a_walk_that_is_not_answered_where_it_goes_on_stays_there(environment: VirtualEnvironment) -> None:
    walker = walker_of(Session([root.OperationTimedOut()]), environment)
    position = encode_position(b"p", b"a")
    budget = Budget(deadline_ns=environment.monotonic_ns() + 1_000_000_000)
    assert (await walker.page(table_of(TABLE), 0, 1, position, budget, 0)).position == position


TOO_MANY = root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})


@pytest.mark.parametrize(
    ("failed", "retryable", "reason"),
    [(TOO_MANY, False, "too many deleted rows"), (root.ReadTimeout("slow"), True, "in time")],
)
async def test_one_token_that_cannot_be_read_is_told_by_its_reason(
    environment: VirtualEnvironment, failed: Exception, retryable: bool, reason: str
) -> None:
    walker, table = walker_of(Session([failed]), environment), table_of(TABLE)
    with pytest.raises(Unavailable, match=reason) as refused:
        await walker.rows(table, table.statements.ring, 7, 7, 100)
    assert (refused.value.retryable, refused.value.outcome) == (retryable, "not_applied")


async def test_a_partition_that_cannot_be_named_for_its_dead_rows_is_refused_in_words(
    environment: VirtualEnvironment,
) -> None:
    with pytest.raises(Unavailable, match="too many deleted rows"):
        await walker_of(Session([TOO_MANY]), environment).page(
            table_of(TABLE), 0, 1, encode_position(b"p", b"a"), Budget(), 0
        )


@pytest.mark.parametrize("start", [b"", b"short", b"too long for it", b"\xff" * 8])
async def test_a_position_that_no_walk_of_the_segment_returned_is_refused(
    environment: VirtualEnvironment, start: bytes
) -> None:
    with pytest.raises(InvalidArgument):
        await walker_of(Session(), environment).page(table_of(TABLE), 0, 4, encode_position(b"", start), Budget(), 0)


def test_a_page_goes_on_while_there_is_room(environment: VirtualEnvironment) -> None:
    partitions: list[tuple[bytes, list[Row]]] = []
    assert _take(partitions, b"p", ROWS, None, meter(2, environment), None) is None
    assert partitions == [(b"p", ROWS)]


def test_a_page_ends_within_a_partition(environment: VirtualEnvironment) -> None:
    page = _take([], b"p", ROWS, None, meter(1, environment), None)
    assert page is not None
    assert (page.partitions, page.position, page.cut) == ([(b"p", ROWS[:1])], encode_position(b"p", b"b"), True)


def test_a_page_ends_before_a_partition_of_which_it_takes_nothing(environment: VirtualEnvironment) -> None:
    full = meter(1, environment)
    full.takes(ROWS[0])
    page = _take([], b"p", ROWS, None, full, None)
    assert page is not None
    assert (page.position, page.cut) == (encode_position(b"p", b""), False)


def test_dead_rows_before_the_first_live_one_are_looked_at_again(environment: VirtualEnvironment) -> None:
    page = _take([], b"p", [], b"k\0", meter(5, environment), None)
    assert page is not None
    assert (page.position, page.cut) == (encode_position(b"p", b""), False)


def test_a_partition_that_is_gone_on_with_is_not_begun_again(environment: VirtualEnvironment) -> None:
    page = _take([], b"p", [], b"k\0", meter(5, environment), b"")
    assert page is not None
    assert page.position == encode_position(b"p", b"k\0")
