"""How long the engine goes on with a write, and what it says of itself; suites against a real server have the rest."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from tests.engines.records.cassandra.scripted import URL, Session, Statement, requests_of, table_of

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.records.cassandra.catalogue import Catalogue
from soundstage.engines.records.cassandra.driver import root
from soundstage.engines.records.cassandra.due import Agenda
from soundstage.engines.records.cassandra.engine import CassandraRecords, Parts
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.options import parse_address
from soundstage.engines.records.cassandra.statements import Ledgers
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Batch, Capability, TableSpec

LEDGERS = Ledgers({name: Statement(name) for name in Ledgers.TEXTS})
BATCH = Batch(cells=[(b"key", version.put(7, "t", b""))])


def engine_of(session: Session, environment: VirtualEnvironment, query: str, spec: TableSpec) -> CassandraRecords:
    """An engine that knows one table."""
    requests = requests_of(session, environment, query)
    link = Link(parse_address("main", urlsplit(f"{URL}&{query}"), {}, None))
    catalogue = Catalogue(link, "main", requests, LEDGERS, environment)
    catalogue._by_name[spec.name] = table_of(spec)
    catalogue._read_ns = environment.monotonic_ns()
    engine = CassandraRecords(link, environment)
    engine._parts = Parts(requests, catalogue, Agenda("main", requests, LEDGERS, environment), link, environment)
    return engine


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(("query", "deadline_s"), [("", 3_600), ("patience_s=600", None)])
async def test_no_write_comes_later_than_it_can_be_hidden(
    environment: VirtualEnvironment, query: str, deadline_s: int | None, conditional: bool
) -> None:
    session = Session([root.WriteTimeout("timed out", write_type=0)] * 10_000)
    engine = engine_of(session, environment, query, TableSpec(name="films", conditional=conditional))
    began_ns = environment.monotonic_ns()
    deadline_ns = None if deadline_s is None else began_ns + deadline_s * 1_000_000_000
    with pytest.raises(Unavailable) as given_up:
        await engine.apply("films", b"record", BATCH, deadline_ns=deadline_ns)
    assert given_up.value.retryable
    assert environment.monotonic_ns() - began_ns <= IN_FLIGHT_MAX_US * 1_000
    assert len(session.sent) > 10


@pytest.mark.parametrize(
    ("consistency", "is_loose"),
    [("one", True), ("local_one", True), ("quorum", False), ("local_quorum", False), ("all", False)],
)
def test_an_engine_says_whether_its_reads_may_miss_what_it_took(
    environment: VirtualEnvironment, consistency: str, is_loose: bool
) -> None:
    link = Link(parse_address("main", urlsplit(f"{URL}&consistency={consistency}"), {}, None))
    assert (Capability.LOOSE in CassandraRecords(link, environment).capabilities) == is_loose


async def test_who_sets_a_deadline_before_that_is_told_when_it_passes(environment: VirtualEnvironment) -> None:
    engine = engine_of(Session(), environment, "", TableSpec(name="films"))
    with pytest.raises(DeadlineExceeded):
        await engine.apply("films", b"record", BATCH, deadline_ns=environment.monotonic_ns())
