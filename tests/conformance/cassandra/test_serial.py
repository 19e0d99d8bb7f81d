"""A read of a linearizable table is decided by the replicas; one of a strong table asks them alone."""

from __future__ import annotations

import pytest
from tests.conformance.cassandra.ballots import reads_that_were_decided

from soundstage.engines.records.cassandra import Link
from soundstage.testing.records import OpenEngine

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("serial", "decided"), [(True, ["get", "read"]), (False, [])])
async def test_reads_are_decided_where_the_table_says_so(
    link: Link, open_engine: OpenEngine, serial: bool, decided: list[str]
) -> None:
    assert await reads_that_were_decided(link, open_engine, serial=serial) == decided
