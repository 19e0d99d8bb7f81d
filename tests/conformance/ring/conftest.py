"""Three nodes for all tests below, whose clocks disagree, with three copies of every row.

A test that kills or pauses nodes leaves when all of them take part again.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator

import pytest
from tests.conformance.cassandra.conftest import link_to
from tests.conformance.ring.skewed import OFF_MS, Skewed

from soundstage.core.environment import Environment
from soundstage.engines.records.cassandra import CassandraRecords, Link
from soundstage.engines.records.port import Records
from soundstage.servers import Cluster
from soundstage.testing.records import OpenEngine

_numbers = itertools.count()


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    kind = Skewed(tmp_path_factory.mktemp("clock"))
    with Cluster(kind, nodes=len(OFF_MS), settings={"heap_mb": "384"}) as started:
        yield started


@pytest.fixture(scope="session")
def link(ring: Cluster) -> Generator[Link]:
    """Open for as long as the tests run. Patience is longer than any deadline that a test sets."""
    found = link_to(ring.url, "attempt_s=2&patience_s=90")
    found.hold()
    yield found
    found.let_go()


@pytest.fixture
def open_engine(link: Link) -> OpenEngine:
    number = next(_numbers)

    async def open_engine(environment: Environment, store: str = "store") -> Records:
        engine = CassandraRecords(link, environment, f"ring-{number}.{store}")
        await engine.start()
        return engine

    return open_engine
