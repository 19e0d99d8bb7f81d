"""One broker for all tests below, and one client that asks it: each test has a space of its own on it.

Its second port wants TLS, a certificate and a password.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from tests.conformance.held import held

from soundstage.core.environment import Environment
from soundstage.engines.log.kafka import KafkaLog, Link, parse_address
from soundstage.engines.log.port import Log
from soundstage.servers import Cluster
from soundstage.testing.log import OpenLog

USER, PASSWORD = "alice", "opensesame"

_numbers = itertools.count()


def link_to(url: str, query: str = "", password_file: str | None = None) -> Link:
    """Clients that are made when an engine takes them."""
    return Link(parse_address("suite", urlsplit(f"{url}?{query}"), {}, password_file))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`broker.pem`, the key of a broker with its certificate for 127.0.0.1, and `ca.pem`, who signed it.

    `client.pem` and `client.key` are of the same authority; those of a stranger have their names with `stranger-`.
    """
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    (folder / "broker.pem").write_bytes(pem + chain + authority.cert_pem.bytes())
    for name, each in (("", authority), ("stranger-", trustme.CA())):
        each.cert_pem.write_to_path(str(folder / f"{name}ca.pem"))
        client = each.issue_cert("client@example.org")
        client.private_key_pem.write_to_path(str(folder / f"{name}client.key"))
        client.cert_chain_pems[0].write_to_path(str(folder / f"{name}client.pem"))
    return folder


@pytest.fixture(scope="session")
def kafka(certificates: Path) -> Generator[Cluster]:
    settings = {
        "tls_pem": str(certificates / "broker.pem"),
        "tls_clients": "required",
        "user": USER,
        "password": PASSWORD,
    }
    with Cluster("kafka", settings=settings) as started:
        yield started


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
