"""One broker for all tests below, and one client that asks it: each test has a space of its own on it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from urllib.parse import urlsplit

import pytest
from tests.conformance.held import held

from soundstage.core.environment import Environment
from soundstage.engines.log.kafka import KafkaLog, Link, parse_address
from soundstage.engines.log.port import Log
from soundstage.servers import Cluster
from soundstage.testing.log import OpenLog
from soundstage.testing.servers import server_fixture

kafka: Callable[[], Generator[Cluster]] = server_fixture("kafka")

_numbers = itertools.count()


def link_to(url: str, query: str = "") -> Link:
    """Clients that are made when an engine takes them."""
    return Link(parse_address("suite", urlsplit(f"{url}?{query}"), {}, None))


@pytest.fixture(scope="session")
def link(kafka: Cluster) -> Generator[Link]:
    """Open for as long as the tests run, so that each of them needs no time for it."""
    with held(link_to(kafka.url, "linger_ms=0")) as found:
        yield found


@pytest.fixture
def space() -> str:
    return f"test{next(_numbers)}"


@pytest.fixture
def open_log(link: Link, space: str) -> OpenLog:
    async def open_log(environment: Environment, store: str = "store") -> Log:
        engine = KafkaLog(link, environment, f"{space}{store}")
        await engine.start()
        return engine

    return open_log
