"""One server for all tests below, with one bucket: each test has a prefix of its own in it."""

from __future__ import annotations

import itertools
import urllib.request
from collections.abc import AsyncIterator, Callable, Generator
from urllib.parse import quote, urlsplit

import pytest
from tests.conformance.proxy import Proxy

from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.engines.blobs.s3 import S3Blobs, parse_address
from soundstage.servers import Cluster
from soundstage.servers.kinds.s3 import ACCESS_KEY, REGION, SECRET_KEY
from soundstage.testing.servers import server_fixture

s3: Callable[[], Generator[Cluster]] = server_fixture("s3")

BUCKET = "suite"
MIB = 1 << 20
WHO = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"

_numbers = itertools.count()


def make_bucket(endpoint: str) -> None:
    """The suite's bucket is there."""
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=10).close()


def engine_at(endpoint: str, prefix: str, environment: Environment, query: str = "") -> S3Blobs:
    """An engine that is not started."""
    url = f"s3://{BUCKET}/{prefix}?region={REGION}&endpoint={quote(endpoint)}&{query}"
    return S3Blobs(parse_address("suite", urlsplit(url), {}, None), environment)


@pytest.fixture(scope="session")
def endpoint(s3: Cluster) -> str:
    make_bucket(s3.url)
    return s3.url


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment, and nowhere else."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def prefix() -> str:
    return f"test-{next(_numbers)}"


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=5)


@pytest.fixture
async def engine(endpoint: str, prefix: str, environment: VirtualEnvironment) -> AsyncIterator[S3Blobs]:
    made = engine_at(endpoint, prefix, environment, "part=5MiB")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def proxy(endpoint: str) -> AsyncIterator[Proxy]:
    async with Proxy(endpoint).running() as running:
        yield running


@pytest.fixture
async def through(proxy: Proxy, prefix: str, environment: VirtualEnvironment) -> AsyncIterator[S3Blobs]:
    """The engine of the same prefix, by way of the proxy."""
    made = engine_at(proxy.url, prefix, environment, "part=5MiB")
    await made.start()
    yield made
    await made.stop()
