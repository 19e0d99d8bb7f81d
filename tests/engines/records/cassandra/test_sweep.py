"""Which rows go by which entries; the suites against a real server have the rest."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.engines.records.cassandra.scripted import (
    ADDRESS,
    Bound,
    Response,
    Session,
    Statement,
    requests_of,
    table_of,
)

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.catalogue import Catalogue, Table
from soundstage.engines.records.cassandra.driver import EACH_QUORUM, root
from soundstage.engines.records.cassandra.due import ENTRIES_AT_ONCE, Agenda
from soundstage.engines.records.cassandra.engine import Parts
from soundstage.engines.records.cassandra.failures import TOO_MANY_TOMBSTONES
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.statements import Ledgers
from soundstage.engines.records.cassandra.sweep import KEYS_AT_ONCE
from soundstage.engines.records.port import TableSpec

LEDGERS = Ledgers({name: Statement(name) for name in Ledgers.TEXTS})
SPEC = TableSpec(name="films", max_lag_us=0, delete_ttl_min_us=0, delete_ttl_max_us=0)


def parts_of(session: Session, environment: VirtualEnvironment, spec: TableSpec = SPEC) -> Parts:
    """An engine's parts, which know one table and read nothing anew."""
    requests = requests_of(session, environment)
    catalogue = Catalogue(Link(ADDRESS), "main", requests, LEDGERS, environment)
    catalogue.by_number[1] = table_of(spec)
    return Parts(requests, catalogue, Agenda("main", requests, LEDGERS, environment), Link(ADDRESS), environment)


def answers(hour: int, entries: list[tuple[bytes, int, int]], *others: Any) -> list[Any]:
    """Of a sweep: the only hour, its entries as key, when they are due and their time, and what comes after."""
    due = [(0, due_us, b"record", schema.ITEM, key, time_us) for key, due_us, time_us in entries]
    return [[(hour, 1)], due, *others]


@pytest.mark.parametrize("first_due", [1, 2])
async def test_of_several_entries_of_a_key_the_one_that_stands_there_counts(
    environment: VirtualEnvironment, first_due: int
) -> None:
    now_us = environment.now_us()
    old_us, new_us = now_us - 7_200_000_000, now_us - 7_100_000_000
    cell = version.put(new_us, "t", b"", expires_us=now_us - 60_000_000)
    entries = sorted(
        [(b"key", now_us - first_due, old_us), (b"key", now_us - (3 - first_due), new_us)], key=lambda each: each[1]
    )
    rows = [(b"newest", b"key", cell)]
    session = Session([*answers(now_us // schema.HOUR_US, entries, rows, None, None), []])
    swept = await parts_of(session, environment).sweeper.sweep(100)
    assert swept.purged == 1
    assert session.sent[3].request.values == (new_us, 1, b"record", schema.ITEM, b"key")


async def test_between_too_many_dead_rows_they_go_one_by_one(environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    time_us = now_us - 7_200_000_000
    cell = version.put(time_us, "t", b"", expires_us=now_us - 60_000_000)
    keys = [b"%d" % number for number in range(4)]
    entries = [(key, now_us - 1, time_us) for key in keys]
    failed = root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})
    rows = [(b"newest", key, cell) for key in keys]
    session = Session([*answers(now_us // schema.HOUR_US, entries, rows, failed, None, None), []])
    swept = await parts_of(session, environment).sweeper.sweep(100)
    assert (swept.purged, len(session.sent[4].request)) == (4, 4)


async def test_in_an_eventual_table_no_range_goes_that_may_hold_what_another_replica_has(
    environment: VirtualEnvironment,
) -> None:
    now_us = environment.now_us()
    time_us = now_us - 7_200_000_000
    cell = version.put(time_us, "t", b"", expires_us=now_us - 60_000_000)
    keys = [b"%d" % number for number in range(4)]
    entries = [(key, now_us - 1, time_us) for key in keys]
    rows = [(b"newest", key, cell) for key in keys]
    session = Session([*answers(now_us // schema.HOUR_US, entries, rows, None, None), []])
    spec = msgspec.structs.replace(SPEC, eventual=True)
    swept = await parts_of(session, environment, spec).sweeper.sweep(100)
    assert (swept.purged, len(session.sent[3].request)) == (4, 4)


async def test_a_table_of_local_scope_is_swept_by_what_any_data_centre_took(environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    session = Session([*answers(now_us // schema.HOUR_US, [(b"key", now_us - 1, now_us - 9)], [], None), []])
    await parts_of(session, environment, msgspec.structs.replace(SPEC, scope="local")).sweeper.sweep(100)
    assert session.sent[1].request.consistency_level == EACH_QUORUM


class Alone(Session):
    """Of several data centres one answers."""

    def execute_async(self, request: Any, timeout: float) -> Response:
        if request.consistency_level == EACH_QUORUM:
            self.answers.insert(0, root.Unavailable("too few"))
        return super().execute_async(request, timeout)


async def test_tables_of_local_scope_that_wait_for_a_data_centre_hold_up_no_others(
    environment: VirtualEnvironment,
) -> None:
    now_us = environment.now_us()
    hour, old_us = now_us // schema.HOUR_US, now_us - 7_200_000_000
    cell = version.put(old_us, "t", b"", expires_us=now_us - 60_000_000)
    _, *others = answers(hour, [(b"key", now_us - 1, old_us)], [(b"newest", b"key", cell)], None, None)
    session = Alone([[(hour, number) for number in (1, 2, 3)], *others, []])
    parts = parts_of(session, environment, msgspec.structs.replace(SPEC, scope="local"))
    statements = parts.catalogue.by_number[1].statements
    parts.catalogue.by_number[2] = Table(SPEC, 2, None, statements)
    parts.catalogue.by_number[3] = Table(msgspec.structs.replace(SPEC, scope="local"), 3, None, statements)
    with pytest.raises(Unavailable):
        await parts.sweeper.sweep(100)
    asked = [each.request for each in session.sent if each.request.consistency_level == EACH_QUORUM]
    assert {request.values[0] for request in asked} == {1}
    # The row of the second table went, and what was dropped was looked after.
    assert session.answers == []
    assert (old_us, 2, b"record", schema.ITEM, b"key") in [
        getattr(each.request, "values", None) for each in session.sent
    ]


async def test_what_another_data_centre_decides_is_swept_there(environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    session = Session([[(now_us // schema.HOUR_US, 1)], []])
    spec = msgspec.structs.replace(SPEC, conditional=True, scope="local", region="oslo")
    swept = await parts_of(session, environment, spec).sweeper.sweep(100)
    assert (swept.purged, len(session.sent)) == (0, 2)


FAILED = root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})


async def test_a_record_that_cannot_be_read_holds_up_no_other(environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    time_us = now_us - 7_200_000_000
    cell = version.put(time_us, "t", b"", expires_us=now_us - 60_000_000)
    due = [(0, now_us - 1, record, schema.ITEM, b"key", time_us) for record in (b"one", b"two")]
    session = Session([[(now_us // schema.HOUR_US, 1)], due, FAILED, [(b"newest", b"key", cell)], None, None, []])
    swept = await parts_of(session, environment).sweeper.sweep(100)
    removed = session.sent[-2].request.values
    assert (swept.purged, swept.backlog) == (1, 1)
    assert removed[4] == b"two"


async def test_what_had_to_be_left_is_come_back_to_though_its_hour_has_gone(
    environment: VirtualEnvironment,
) -> None:
    now_us = environment.now_us()
    due_us = now_us - 14_400_000_000
    hours = [(due_us // schema.HOUR_US, 1)]
    due = [(0, due_us, b"record", schema.ITEM, b"key", due_us - 3_600_000_000)]
    session = Session([hours, due, FAILED, [], hours, due, FAILED, []])
    sweeper = parts_of(session, environment).sweeper
    assert [(await sweeper.sweep(100)).backlog for _ in range(2)] == [1, 1]
    assert len(session.sent) == 8
    assert session.sent[5].request.values[3] == 0


async def test_deleted_ranges_among_too_many_dead_rows_go_unseen(environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    time_us = now_us - 7_200_000_000
    due = [(0, now_us - 1, b"record", schema.RANGE, b"range", time_us)]
    session = Session([[(now_us // schema.HOUR_US, 1)], due, FAILED, [], None, None, []])
    swept = await parts_of(session, environment).sweeper.sweep(100)
    assert swept.purged == 1
    assert session.sent[4].request.values == (time_us, 1, b"record", schema.RANGE, b"range")


def sent_from(session: Session) -> list[int]:
    """From when on entries were asked for."""
    asked = [each.request.values for each in session.sent if isinstance(each.request, Bound)]
    return [values[3] for values in asked if len(values) == 6 and values[-1] == ENTRIES_AT_ONCE]


def due_at_once(environment: VirtualEnvironment, *numbers: int) -> list[tuple[Any, ...]]:
    """Entries, hours old, of one record and one time."""
    due_us = environment.now_us() - 14_400_000_000
    return [(0, due_us, b"record", schema.ITEM, b"%04d" % number, due_us - 3_600_000_000) for number in numbers]


async def test_of_more_entries_of_one_time_than_are_read_at_once_none_is_left_out(
    environment: VirtualEnvironment,
) -> None:
    first = due_at_once(environment, *range(ENTRIES_AT_ONCE))
    rest = due_at_once(environment, ENTRIES_AT_ONCE)
    due_us = first[0][1]
    reads = [[]] * -(-ENTRIES_AT_ONCE // KEYS_AT_ONCE)
    session = Session(
        [[(due_us // schema.HOUR_US, 1)], first, *reads, None, rest, [], None, None, None, []],
    )
    await parts_of(session, environment).sweeper.sweep(10_000)
    assert sent_from(session) == [0, due_us]
    removed, closed = session.sent[-4].request.values, session.sent[-3].request.values
    assert (removed[6], closed[1]) == (b"%04d" % ENTRIES_AT_ONCE, due_us // schema.HOUR_US)


async def test_what_stays_hides_others_of_its_time_but_none_of_a_later_one(environment: VirtualEnvironment) -> None:
    stays = due_at_once(environment, *range(ENTRIES_AT_ONCE))
    due_us = stays[0][1]
    session = Session([[(due_us // schema.HOUR_US, 1)], stays, FAILED, stays, FAILED, [], []])
    swept = await parts_of(session, environment).sweeper.sweep(10_000)
    assert sent_from(session) == [0, due_us, due_us + 1]
    assert (swept.purged, swept.backlog > 0, len(session.sent)) == (0, True, 7)


async def test_a_time_with_too_many_dead_entries_is_passed_over(environment: VirtualEnvironment) -> None:
    now_us = environment.now_us()
    hours = [(now_us // schema.HOUR_US - 4, 1)]
    failing = [FAILED] * (now_us.bit_length() + 1)
    session = Session([hours, *failing, [], []])
    sweeper = parts_of(session, environment).sweeper
    swept = await sweeper.sweep(100)
    assert (swept.purged, sent_from(session)[-1]) == (0, 1)
    assert len(session.sent) == len(failing) + 3
