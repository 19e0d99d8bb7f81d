"""Three nodes for all tests below, whose clocks disagree, with three copies of every row.

A test that kills or pauses nodes leaves when all of them take part again.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest
from tests.conformance.cassandra.conftest import link_to, opener
from tests.conformance.held import held
from tests.conformance.ring.skewed import OFF_MS, Skewed

from soundstage.engines.records.cassandra import Link
from soundstage.servers import Cluster
from soundstage.testing.records import OpenEngine


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    kind = Skewed(tmp_path_factory.mktemp("clock"))
    with Cluster(kind, nodes=len(OFF_MS), settings={"heap_mb": "384"}) as started:
        yield started


@pytest.fixture(scope="session")
def link(ring: Cluster) -> Generator[Link]:
    """Open for as long as the tests run. Patience is longer than any deadline that a test sets."""
    with held(link_to(ring.url, "attempt_s=2&patience_s=90")) as found:
        yield found


@pytest.fixture
def open_engine(link: Link) -> OpenEngine:
    return opener(link)
