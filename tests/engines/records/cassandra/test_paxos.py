"""What a lightweight write says when its time is over; the suites against a real server have the rest."""

from __future__ import annotations

import pytest
from tests.engines.records.cassandra.scripted import Session, requests_of, table_of

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.records.batches import check_batch
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.driver import root
from soundstage.engines.records.cassandra.due import Agenda
from soundstage.engines.records.cassandra.paxos import Decider
from soundstage.engines.records.cassandra.reading import Reader
from soundstage.engines.records.cassandra.statements import Ledgers
from soundstage.engines.records.port import Batch, TableSpec

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
