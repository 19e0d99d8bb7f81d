"""One node for all tests below, and one connection: each test has a space of its own on it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from urllib.parse import urlsplit

import pytest
from tests.conformance.held import held

from soundstage.core.environment import Environment
from soundstage.engines.records.cassandra import CassandraRecords, Link, parse_address
from soundstage.engines.records.port import Records
from soundstage.servers import Cluster
from soundstage.testing.records import OpenEngine
from soundstage.testing.servers import server_fixture

cassandra: Callable[[], Generator[Cluster]] = server_fixture("cassandra")

_numbers = itertools.count()


def link_to(url: str, query: str = "", password_file: str | None = None) -> Link:
    """A connection that is made when an engine takes it."""
    return Link(parse_address("suite", urlsplit(f"{url}/suite?{query}"), {}, password_file))


def opener(link: Link) -> OpenEngine:
    """Opens engines whose stores nobody else's engines have."""
    number = next(_numbers)

    async def open_engine(environment: Environment, store: str = "store") -> Records:
        engine = CassandraRecords(link, environment, f"test-{number}.{store}")
        await engine.start()
        return engine

    return open_engine


@pytest.fixture(scope="session")
def link(cassandra: Cluster) -> Generator[Link]:
    """Open for as long as the tests run."""
    with held(link_to(cassandra.url)) as found:
        yield found


@pytest.fixture
def open_engine(link: Link) -> OpenEngine:
    return opener(link)
