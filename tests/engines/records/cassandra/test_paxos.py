"""What a lightweight write says when its time is over; the suites against a real server have the rest."""

from __future__ import annotations

import asyncio

import pytest
from tests.engines.records.cassandra.scripted import Session, requests_of, table_of

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.records.batches import check_batch
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.driver import root
from soundstage.engines.records.cassandra.due import Agenda
from soundstage.engines.records.cassandra.failures import TOO_MANY_TOMBSTONES
from soundstage.engines.records.cassandra.paxos import Decider
from soundstage.engines.records.cassandra.reading import Reader
from soundstage.engines.records.cassandra.statements import Ledgers
from soundstage.engines.records.port import Batch, Condition, Conditional, TableSpec

REFUSED = root.Unavailable("too few")
TIMED_OUT = root.WriteTimeout("timed out", write_type=0)


@pytest.mark.parametrize(("attempt", "outcome"), [(TIMED_OUT, "unknown"), (REFUSED, "not_applied")])
async def test_an_attempt_that_may_have_counted_is_remembered_when_nothing_can_be_read_any_more(
    environment: VirtualEnvironment, attempt: Exception, outcome: str
) -> None:
    newest, known = version.identity(version.put(5, "t", b"")), version.put(10, "t", b"")
    row = (newest, None, None, 1, schema.ITEM, b"key", known)
    requests = requests_of(Session([[row], attempt, *[REFUSED] * 1_000]), environment)
    decider = Decider(
        requests, Agenda("main", requests, Ledgers({}), environment), Reader(requests, environment), environment
    )
    batch = Batch(cells=[(b"key", version.put(7, "u", b""))])
    with pytest.raises(Unavailable) as refused:
        await decider.apply(
            table_of(TableSpec(name="seats", conditional=True)), b"record", batch, check_batch(batch), None, None
        )
    assert refused.value.outcome == outcome


def decider_of(session: Session, environment: VirtualEnvironment, query: str = "") -> Decider:
    requests = requests_of(session, environment, query)
    agenda = Agenda("main", requests, Ledgers({}), environment)
    return Decider(requests, agenda, Reader(requests, environment), environment)


async def write(decider: Decider, deadline_ns: int | None) -> int:
    batch = Batch(cells=[(b"key", version.put(7, "u", b""))])
    table = table_of(TableSpec(name="seats", conditional=True))
    return await decider.apply(table, b"record", batch, check_batch(batch), None, deadline_ns)


async def test_a_write_behind_one_that_hangs_ends_at_its_deadline(environment: VirtualEnvironment) -> None:
    decider = decider_of(Session(), environment)
    hanging = asyncio.ensure_future(write(decider, None))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded) as refused:
        await write(decider, environment.monotonic_ns() + 10_000_000)
    hanging.cancel()
    assert refused.value.outcome == "not_applied"


async def test_a_write_without_a_deadline_behind_one_that_hangs_is_unavailable_when_patience_ends(
    environment: VirtualEnvironment,
) -> None:
    decider = decider_of(Session(), environment, "patience_s=0.01")
    hanging = asyncio.ensure_future(write(decider, environment.monotonic_ns() + 10**12))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refused:
        await write(decider, None)
    hanging.cancel()
    assert (refused.value.outcome, refused.value.retryable) == ("not_applied", True)


async def test_writers_of_other_records_do_not_wait(environment: VirtualEnvironment) -> None:
    session = Session()
    decider = decider_of(session, environment)
    batch = Batch(cells=[(b"key", version.put(7, "u", b""))])
    table = table_of(TableSpec(name="seats", conditional=True))
    calls = [
        asyncio.ensure_future(decider.apply(table, record, batch, check_batch(batch), None, None))
        for record in (b"one", b"one", b"two")
    ]
    await asyncio.sleep(0)
    asked = [each.request.values[1] for each in session.sent]
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert asked == [b"one", b"two"]


async def test_a_record_with_too_many_deleted_rows_is_refused_in_words(environment: VirtualEnvironment) -> None:
    failed = root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})
    with pytest.raises(Unavailable) as refused:
        await write(decider_of(Session([failed]), environment), None)
    assert (refused.value.outcome, refused.value.retryable) == ("not_applied", False)
    assert "compact" in str(refused.value.hint)


async def test_looking_for_a_live_item_ends_at_the_deadline(environment: VirtualEnvironment) -> None:
    newest = version.identity(version.put(5, "t", b""))
    row = (newest, None, None, 1, schema.ITEM, b"key", version.delete(5, "t"))
    decider = decider_of(Session([[row], root.OperationTimedOut(), *[REFUSED] * 1_000]), environment)
    batch = Batch(cells=[(b"key", version.put(7, "u", b""))])
    asked = Conditional(conditions=[Condition(None, None)], token="u", digest=b"", limit_us=10**9)
    deadline_ns = environment.monotonic_ns() + 1_000_000_000
    table = table_of(TableSpec(name="seats", conditional=True))
    with pytest.raises((DeadlineExceeded, Unavailable)):
        await decider.apply(table, b"record", batch, check_batch(batch), asked, deadline_ns)
    assert environment.monotonic_ns() <= deadline_ns
