"""One node for all tests below."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.engines.search.opensearch import OpenSearchSearch, parse_address
from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

opensearch: Callable[[], Generator[Cluster]] = server_fixture("opensearch")


def engine_at(url: str, **options: object) -> OpenSearchSearch:
    """An engine that was not started."""
    return OpenSearchSearch(parse_address("suite", urlsplit(url), options, None), SystemEnvironment())


@pytest.fixture
def url(opensearch: Cluster) -> str:
    return f"{opensearch.url}/s{time.time_ns()}"
