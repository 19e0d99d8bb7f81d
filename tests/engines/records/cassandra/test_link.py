"""The part of a connection that needs no server."""

from __future__ import annotations

from itertools import islice

from soundstage.engines.records.cassandra.link import RECONNECT_LAST_S, reconnection


def test_a_node_that_is_gone_for_hours_is_still_looked_for_every_few_seconds() -> None:
    pauses = list(islice(reconnection().new_schedule(), 5_000))
    assert len(pauses) == 5_000
    assert max(pauses) <= RECONNECT_LAST_S
