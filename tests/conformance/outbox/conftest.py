"""A node of Cassandra and a broker of Kafka for all tests below, and one connection to each.

A test that kills or pauses one of them leaves it as it found it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Generator

import pytest
from tests.conformance.cassandra.conftest import link_to as link_to_cassandra
from tests.conformance.held import held
from tests.conformance.kafka.conftest import link_to as link_to_kafka

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.engines.log.kafka import Link as KafkaLink
from soundstage.engines.records.cassandra import CassandraRecords
from soundstage.engines.records.cassandra import Link as CassandraLink
from soundstage.engines.records.port import TableSpec
from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

cassandra: Callable[[], Generator[Cluster]] = server_fixture("cassandra")
kafka: Callable[[], Generator[Cluster]] = server_fixture("kafka")

WAIT_S = 120.0

_numbers = itertools.count()


@pytest.fixture(scope="session")
def tables(cassandra: Cluster) -> Generator[CassandraLink]:
    """One connection for all tests."""
    with held(link_to_cassandra(cassandra.url)) as found:
        yield found


@pytest.fixture(scope="session")
def topics(kafka: Cluster) -> Generator[KafkaLink]:
    """One client for all tests."""
    with held(link_to_kafka(kafka.url, "linger_ms=0")) as found:
        yield found


async def answers(engine: CassandraRecords) -> bool:
    try:
        await engine.start()
        await engine.create_table(TableSpec(name="well"))
    except (Unavailable, DeadlineExceeded):
        return False
    return True


@pytest.fixture
async def well(tables: CassandraLink) -> AsyncIterator[None]:
    """The node is asked by others as before when the test is over, whatever was done to it."""
    yield
    engine = CassandraRecords(tables, SystemEnvironment(), "sets.well")
    ends = time.monotonic() + WAIT_S
    while not await answers(engine):
        assert time.monotonic() < ends, "the node did not recover"
        await asyncio.sleep(0.2)
    await engine.stop()


@pytest.fixture
def space() -> str:
    """What the test's own tables and topics are in."""
    return f"outbox{next(_numbers)}"
