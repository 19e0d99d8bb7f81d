"""Servers and clients that show certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from tests.client.loopback import Loopback

from soundstage.client import Settings, Unreachable, connect
from soundstage.core.policy import RetryPolicy
from soundstage.data.kv.api import KeyValue

ONCE = RetryPolicy(retries=0)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, and a client's `client.pem` with its key."""
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("client@example.org")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
    return folder


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Loopback]:
    with Loopback(context(authority)) as server:
        yield server


@pytest.fixture
def mutual(authority: trustme.CA) -> Iterator[Loopback]:
    """A server that wants to see a certificate."""
    tls = context(authority)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    with Loopback(tls) as server:
        yield server


def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(made)
    return made


async def items(url: str, settings: Settings) -> int:
    async with connect(url, settings=settings) as connection:
        return len((await connection.client(KeyValue, "x").get_items(id="1")).items)


async def test_a_server_of_a_trusted_authority_is_called(server: Loopback, folder: Path) -> None:
    assert await items(server.url, Settings(ca=str(folder / "ca.pem"))) == 1


async def test_a_server_of_an_unknown_authority_is_not_called(server: Loopback) -> None:
    with pytest.raises(Unreachable, match=r"(?i)certificate") as raised:
        await items(server.url, Settings(retry=ONCE))
    assert raised.value.outcome == "not_applied"
    assert server.request_ids == []


async def test_a_server_of_another_name_is_not_called(server: Loopback, folder: Path) -> None:
    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        await items(server.url.replace("localhost", "127.0.0.1"), Settings(ca=str(folder / "ca.pem"), retry=ONCE))


async def test_a_certificate_is_shown_to_a_server_that_asks(mutual: Loopback, folder: Path) -> None:
    settings = Settings(ca=str(folder / "ca.pem"), certificate=str(folder / "client.pem"))
    assert await items(mutual.url, settings) == 1


async def test_a_server_that_asks_for_a_certificate_refuses_who_has_none(mutual: Loopback, folder: Path) -> None:
    with pytest.raises(Unreachable):
        await items(mutual.url, Settings(ca=str(folder / "ca.pem"), retry=ONCE))


async def test_plain_http_to_a_tls_server_is_unreachable(server: Loopback) -> None:
    with pytest.raises(Unreachable):
        await items(server.url.replace("https", "http"), Settings(retry=ONCE))
