"""Three brokers with three copies of everything, of which two are enough.

A test that kills or pauses brokers leaves when all of them have every copy again.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Generator

import pytest
from tests.conformance.brokers.traffic import PARTITIONS, PATIENCE_S, TOPIC
from tests.conformance.kafka.conftest import link_to

from soundstage.core.environment import SystemEnvironment
from soundstage.engines.log.kafka import KafkaLog, Link
from soundstage.engines.log.port import TopicSpec
from soundstage.servers import Cluster

_numbers = itertools.count()


@pytest.fixture(scope="session")
def brokers() -> Generator[Cluster]:
    with Cluster("kafka", nodes=3, settings={"heap_mb": "192"}) as started:
        yield started
        # What they have is thrown away: no need to wait for a good end.
        for server in started.servers:
            server.kill()


@pytest.fixture
def link(brokers: Cluster) -> Link:
    """Calls without a deadline are over sooner than any outage."""
    return link_to(brokers.url, f"patience_s={PATIENCE_S}&attempt_s=1&start_s=120")


@pytest.fixture
def space() -> str:
    return f"b{next(_numbers)}"


@pytest.fixture
async def log(link: Link, space: str) -> AsyncIterator[KafkaLog]:
    opened = KafkaLog(link, SystemEnvironment(), space)
    await opened.start()
    await opened.create_topic(TopicSpec(name=TOPIC, partitions=PARTITIONS))
    yield opened
    await opened.stop()
