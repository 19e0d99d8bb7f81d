"""What pages of a dump take, and how large the writes of a load are; the suite on a real server has the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.engines.records.cassandra.scripted import Session, requests_of, table_of

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, PreconditionFailed, Unavailable
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.catalogue import Catalogue
from soundstage.engines.records.cassandra.deletions import row_key
from soundstage.engines.records.cassandra.driver import LEVELS, root
from soundstage.engines.records.cassandra.due import Agenda
from soundstage.engines.records.cassandra.failures import TOO_MANY_TOMBSTONES
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.paxos import Decider
from soundstage.engines.records.cassandra.reading import Reader, Statics
from soundstage.engines.records.cassandra.statements import Ledgers
from soundstage.engines.records.cassandra.transferring import (
    BEGINNING,
    LOOKED_ENDS_NS,
    LOOKED_NS,
    WRITE_BYTES,
    Covers,
    Looks,
    Place,
    Taken,
    Transfer,
    parsed,
    writes_of,
)
from soundstage.engines.records.cassandra.walking import Walker
from soundstage.engines.records.cassandra.writing import Writer
from soundstage.engines.records.holdings import Holding, LedgerEntry
from soundstage.engines.records.port import KEY_CEILING, Budget, RangeDelete, TableSpec

NEWEST = version.identity(version.put(9, "t", b""))
STATICS = (NEWEST, None, None, None)


def row(kind: int, key: bytes, cell: bytes) -> tuple[Any, ...]:
    return (*STATICS, kind, key, cell)


def item(key: bytes, at_us: int = 5) -> tuple[Any, ...]:
    return row(schema.ITEM, key, version.put(at_us, "t", b"value"))


def range_row(start: bytes, end: bytes | None, at_us: int) -> tuple[bytes, bytes]:
    cell = version.delete(at_us, "t")
    return row_key(RangeDelete(start, end, cell)), cell


def covers(*ranges: tuple[bytes, bytes], tombstone: bytes | None = None) -> Covers:
    return Covers(Statics(NEWEST, tombstone), list(ranges))


def transfer_of(session: Session, environment: VirtualEnvironment) -> Transfer:
    """Dumps and loads by what `session` answers."""
    requests = requests_of(session, environment)
    link, known = Link(requests._link.address), Ledgers({"fence": table_of(TableSpec(name="t")).statements.kind})  # pyright: ignore[reportPrivateUsage]
    reader, agenda = Reader(requests, environment), Agenda("main", requests, known, environment)
    catalogue = Catalogue(link, "main", requests, known, environment)
    walker = Walker(link, requests, reader, environment)
    decider = Decider(requests, agenda, reader, environment)
    return Transfer(catalogue, requests, walker, Writer(requests, agenda), decider)


async def test_what_another_data_centre_decides_is_filled_from_there(environment: VirtualEnvironment) -> None:
    session = Session()
    spec = TableSpec(name="films", conditional=True, scope="local", region="oslo")
    holding = Holding(partition=b"record", newest=NEWEST, cells=[(b"a", version.put(5, "t", b"value"))])
    with pytest.raises(InvalidArgument, match="'oslo' alone"):
        await transfer_of(session, environment).load(table_of(spec), [holding], None)
    assert session.sent == []


def test_rows_and_the_ledger_are_taken_and_the_rest_of_a_partition_is_not() -> None:
    taken = Taken(Budget())
    rows = [
        row(schema.RANGE, *range_row(b"x", b"y", 3)),
        row(schema.SENTINEL, b"", b""),
        item(b"a"),
        row(schema.LEDGER, b"call", (7).to_bytes(8, "big") + b"digest"),
    ]
    assert taken.take(b"record", covers(), rows) is None
    (found,) = taken.holdings
    assert [key for key, _ in found.cells] == [b"a"]
    assert found.ledger == [LedgerEntry("call", 7, b"digest")]


def test_what_a_range_or_a_whole_delete_hides_is_left_out() -> None:
    taken = Taken(Budget())
    hiding = covers(range_row(b"b", b"c", 6), tombstone=version.delete(4, "t"))
    taken.take(b"record", hiding, [item(b"a", 5), item(b"a2", 3), item(b"b", 5), item(b"b2", 7)])
    (found,) = taken.holdings
    assert [key for key, _ in found.cells] == [b"a", b"b2"]
    assert [(each.start, each.end) for each in found.ranges] == [(b"b", b"c")]


def test_a_partition_that_never_accepted_anything_is_none() -> None:
    taken = Taken(Budget())
    taken.take(b"record", Covers(Statics(), []), [])
    assert taken.holdings == []


def test_a_full_page_says_where_to_go_on_and_has_a_row_at_least() -> None:
    taken = Taken(Budget(rows=1, bytes=1))
    assert taken.take(b"record", covers(), [item(b"a"), item(b"b")]) == Place(schema.ITEM, b"b")
    assert taken.is_full


def test_hidden_rows_count_as_progress() -> None:
    taken = Taken(Budget(rows=1, bytes=1))
    assert taken.take(b"record", covers(range_row(b"", None, 9)), [item(b"a"), item(b"b")]) == Place(schema.ITEM, b"b")


@pytest.mark.parametrize("place", [BEGINNING, Place(schema.ITEM, b"key"), Place(schema.LEDGER, b"token")])
def test_a_position_is_read_as_it_was_given(place: Place) -> None:
    position = Taken(Budget()).page(b"record", place).position
    assert position is not None
    assert parsed(position) == (b"record", place)


@pytest.mark.parametrize(
    ("partition", "place"),
    [
        (b"", BEGINNING),
        (bytes(1_025), BEGINNING),
        (b"record", Place(schema.RANGE, b"")),
        (b"record", Place(77, b"")),
        (b"record", Place(schema.ITEM, KEY_CEILING + b"\0")),
    ],
)
def test_a_position_that_no_dump_gave_is_refused(partition: bytes, place: Place) -> None:
    position = Taken(Budget()).page(partition, place).position
    assert position is not None
    with pytest.raises(InvalidArgument):
        parsed(position)


@pytest.mark.parametrize("position", [b"", b"\x00", b"what"])
def test_bytes_that_are_no_position_are_refused(position: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parsed(position)


def test_small_holdings_are_one_write() -> None:
    holding = Holding(partition=b"record", newest=NEWEST, cells=[(b"a", version.put(5, "t", b""))])
    assert list(writes_of(holding)) == [holding]


def test_large_holdings_are_several_writes_of_which_the_first_has_the_deletes() -> None:
    cells = [(b"%d" % number, version.put(5, "t", bytes(WRITE_BYTES // 2))) for number in range(4)]
    tombstone = version.delete(2, "t")
    holding = Holding(partition=b"record", newest=NEWEST, tombstone=tombstone, cells=cells)
    found = list(writes_of(holding))
    assert [row for each in found for row in each.cells] == cells
    assert [each.tombstone for each in found] == [tombstone, *[None] * (len(found) - 1)]
    assert all(each.newest == NEWEST and len(each.cells) == 1 for each in found)


def test_a_row_that_is_larger_than_a_write_should_be_goes_alone() -> None:
    cells = [(b"a", version.put(5, "t", bytes(2 * WRITE_BYTES))), (b"b", version.put(5, "t", b""))]
    assert [len(each.cells) for each in writes_of(Holding(partition=b"r", newest=NEWEST, cells=cells))] == [1, 1]


async def test_nothing_is_loaded_under_a_fence_that_another_has_taken(environment: VirtualEnvironment) -> None:
    session = Session([[(8,)]])
    holding = Holding(partition=b"record", newest=NEWEST, cells=[(b"a", version.put(5, "t", b""))])
    with pytest.raises(PreconditionFailed):
        await transfer_of(session, environment).load(table_of(TableSpec(name="films")), [holding], 7)
    assert len(session.sent) == 1


async def test_the_fence_is_looked_at_though_there_is_nothing_to_load(environment: VirtualEnvironment) -> None:
    with pytest.raises(PreconditionFailed):
        await transfer_of(Session([[(8,)]]), environment).load(table_of(TableSpec(name="films")), [], None)


HOLDING = Holding(partition=b"record", newest=NEWEST, cells=[(b"a", version.put(5, "t", b""))])


@pytest.mark.parametrize("spec", [TableSpec(name="films"), TableSpec(name="films", eventual=True)])
async def test_what_is_loaded_is_where_a_dump_finds_it(environment: VirtualEnvironment, spec: TableSpec) -> None:
    session = Session([[(7,)], None])
    await transfer_of(session, environment).load(table_of(spec), [HOLDING], 7)
    assert session.sent[-1].request.consistency_level == LEVELS["quorum"]


async def test_what_a_process_that_hung_had_in_hand_is_not_sent(environment: VirtualEnvironment) -> None:
    session = Session([[(7,)]])
    table = table_of(TableSpec(name="films"))
    transfer = transfer_of(session, environment)
    looks = Looks(transfer._requests, lambda: transfer._check(table, 7))  # pyright: ignore[reportPrivateUsage]
    until_ns = await looks.until_ns()
    environment.advance(LOOKED_ENDS_NS / 1e9)
    with pytest.raises(DeadlineExceeded) as refused:
        await transfer._writer.load(table, HOLDING, until_ns)  # pyright: ignore[reportPrivateUsage]
    assert (refused.value.outcome, len(session.sent)) == ("not_applied", 1)


async def test_the_fence_is_looked_at_again_after_a_while(environment: VirtualEnvironment) -> None:
    session = Session([[(7,)], [(8,)]])
    table = table_of(TableSpec(name="films"))
    transfer = transfer_of(session, environment)
    looks = Looks(transfer._requests, lambda: transfer._check(table, 7))  # pyright: ignore[reportPrivateUsage]
    await looks.until_ns()
    await looks.until_ns()
    asked = len(session.sent)
    environment.advance(LOOKED_NS / 1e9)
    with pytest.raises(PreconditionFailed):
        await looks.until_ns()
    assert asked == 1


async def test_of_many_that_ask_at_once_one_looks_at_the_fence(environment: VirtualEnvironment) -> None:
    session = Session([[(7,)], [(7,)]])
    table = table_of(TableSpec(name="films"))
    transfer = transfer_of(session, environment)
    looks = Looks(transfer._requests, lambda: transfer._check(table, 7))  # pyright: ignore[reportPrivateUsage]
    first = await asyncio.gather(*(looks.until_ns() for _ in range(50)))
    environment.advance(LOOKED_NS / 1e9)
    second = await asyncio.gather(*(looks.until_ns() for _ in range(50)))
    assert (len(session.sent), len(set(first)), len(set(second))) == (2, 1, 1)


async def test_a_fence_that_could_not_be_seen_is_not_looked_at_again_by_each(environment: VirtualEnvironment) -> None:
    session = Session([[(8,)], [(7,)]])
    table = table_of(TableSpec(name="films"))
    transfer = transfer_of(session, environment)
    looks = Looks(transfer._requests, lambda: transfer._check(table, 7))  # pyright: ignore[reportPrivateUsage]
    asked = await asyncio.gather(*(looks.until_ns() for _ in range(50)), return_exceptions=True)
    assert ({type(each) for each in asked}, len(session.sent)) == ({PreconditionFailed}, 1)


async def test_a_load_is_given_up_when_patience_ends(environment: VirtualEnvironment) -> None:
    session = Session([[(7,)], *[root.Unavailable("too few")] * 1_000])
    began_ns = environment.monotonic_ns()
    with pytest.raises(Unavailable):
        await transfer_of(session, environment).load(table_of(TableSpec(name="films")), [HOLDING], 7)
    assert environment.monotonic_ns() - began_ns <= 10_000_000_000


async def test_what_no_engine_can_have_dumped_is_refused_before_anything_is_sent(
    environment: VirtualEnvironment,
) -> None:
    session = Session()
    holding = Holding(partition=b"record", newest=NEWEST, cells=[(b"a", b"z")])
    with pytest.raises(InvalidArgument):
        await transfer_of(session, environment).load(table_of(TableSpec(name="films")), [holding], None)
    assert session.sent == []


async def test_a_cut_record_that_is_being_deleted_from_is_read_again(environment: VirtualEnvironment) -> None:
    before, after = (*STATICS, *range_row(b"x", b"y", 3)), (*STATICS, *range_row(b"x", b"z", 4))
    position = Taken(Budget()).page(b"record", BEGINNING).position
    ring: list[Any] = []
    answers = [[], [before], [item(b"a")], [after], [item(b"b")], [after], ring]
    page = await transfer_of(Session(answers), environment).dump(table_of(TableSpec(name="films")), position, Budget())
    (found,) = page.holdings
    assert ([key for key, _ in found.cells], [each.end for each in found.ranges]) == ([b"b"], [b"z"])


async def test_a_record_with_too_many_dead_rows_says_what_to_do(environment: VirtualEnvironment) -> None:
    error = root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})
    position = Taken(Budget()).page(b"record", BEGINNING).position
    session = Session([[], [(*STATICS, *range_row(b"x", b"y", 3))], error])
    with pytest.raises(Unavailable, match="deleted rows"):
        await transfer_of(session, environment).dump(table_of(TableSpec(name="films")), position, Budget())
