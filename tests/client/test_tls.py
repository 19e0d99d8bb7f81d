"""Servers and clients that show certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from tests.client.loopback import Loopback

from soundstage.client import Settings, Unreachable, connect
from soundstage.core.policy import RetryPolicy
from soundstage.data.kv.api import KeyValue
from soundstage.runtime.namespaces import Namespaces

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


async def told(url: str, settings: Settings) -> Unreachable:
    """What a call is refused with, at once: to try again is of no use."""
    with pytest.raises(Unreachable) as raised:
        await items(url, settings)
    return raised.value


async def test_a_server_of_an_unknown_authority_is_not_called(server: Loopback) -> None:
    refused = await told(server.url, Settings())
    assert "its certificate is of an authority that is not trusted here" in refused.detail
    assert refused.hint == "name the authority's PEM file: `ca` of Settings, or SOUNDSTAGE_CA"
    assert (refused.outcome, refused.retryable) == ("not_applied", False)
    assert server.request_ids == []


async def test_a_server_of_another_name_is_not_called(server: Loopback, folder: Path) -> None:
    refused = await told(server.url.replace("localhost", "127.0.0.1"), Settings(ca=str(folder / "ca.pem")))
    assert refused.detail.endswith("its certificate is for another name than 127.0.0.1")
    assert "use an address with a name that the certificate is for" in str(refused.hint)


async def test_a_certificate_that_has_expired_is_told(authority: trustme.CA, folder: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    authority.issue_cert("localhost", not_before=long_ago, not_after=long_ago + timedelta(days=1)).configure_cert(tls)
    with Loopback(tls) as server:
        refused = await told(server.url, Settings(ca=str(folder / "ca.pem")))
    assert refused.detail.endswith("its certificate has expired")


async def test_a_certificate_is_shown_to_a_server_that_asks(mutual: Loopback, folder: Path) -> None:
    settings = Settings(ca=str(folder / "ca.pem"), certificate=str(folder / "client.pem"))
    assert await items(mutual.url, settings) == 1


async def test_a_server_that_asks_for_a_certificate_refuses_who_has_none(mutual: Loopback, folder: Path) -> None:
    refused = await told(mutual.url, Settings(ca=str(folder / "ca.pem"), retry=ONCE))
    # Whether the reason comes through or only the end of the connection is a matter of timing.
    assert "show one: `certificate` and `key` of Settings" in str(refused.hint)


async def test_a_server_refuses_a_certificate_of_strangers(mutual: Loopback, folder: Path) -> None:
    stranger = trustme.CA().issue_cert("client@example.org")
    stranger.private_key_and_cert_chain_pem.write_to_path(str(folder / "stranger.pem"))
    settings = Settings(ca=str(folder / "ca.pem"), certificate=str(folder / "stranger.pem"), retry=ONCE)
    refused = await told(mutual.url, settings)
    # Whether the reason comes through or only the end of the connection is a matter of timing.
    assert "certificate" in f"{refused.detail} {refused.hint}"


async def test_plain_http_to_a_tls_server_is_told_its_address(server: Loopback) -> None:
    refused = await told(server.url.replace("https", "http"), Settings(retry=ONCE))
    assert refused.hint == f"check that it runs; if it speaks TLS, its address is {server.url}"


async def test_tls_to_a_plain_server_is_told_its_address() -> None:
    with Loopback() as plain:
        refused = await told(plain.url.replace("http", "https"), Settings())
        assert refused.detail.endswith("what listens there does not speak TLS")
        assert refused.hint == f"if it is a stage, its address is {plain.url}"


async def test_feeds_and_files_are_told_the_same(server: Loopback) -> None:
    async with connect(server.url, settings=Settings()) as connection:
        with pytest.raises(Unreachable, match="an authority that is not trusted here"):
            await anext(connection.client(Namespaces).watch())
        with pytest.raises(Unreachable, match="an authority that is not trusted here"):
            await connection.files.upload(b"content")
