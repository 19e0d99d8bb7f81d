"""A node of Cassandra and a broker of Kafka for all tests below, and one connection to each.

A test that kills or pauses one of them leaves it as it found it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator

import pytest
from tests.conformance.cassandra.conftest import link_to as link_to_cassandra
from tests.conformance.held import held
from tests.conformance.kafka.conftest import link_to as link_to_kafka

from soundstage.engines.log.kafka import Link as KafkaLink
from soundstage.engines.records.cassandra import Link as CassandraLink
from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

cassandra: Callable[[], Generator[Cluster]] = server_fixture("cassandra")
kafka: Callable[[], Generator[Cluster]] = server_fixture("kafka")

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


@pytest.fixture
def space() -> str:
    """What the test's own tables and topics are in."""
    return f"outbox{next(_numbers)}"
