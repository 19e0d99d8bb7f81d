"""A stage behind certificates, and callers with and without theirs."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path

import pytest
import trustme
from tests.e2e.conftest import Cli, Start
from tests.e2e.web import ask

pytestmark = pytest.mark.slow


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """Its own `ca.pem`, and a certificate with key for a server and for a client."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "client.pem")
    )
    return authority


TLS = {"SOUNDSTAGE_HTTP__TLS__CERTIFICATE": "server.pem"}
TRUST = {"SOUNDSTAGE_CA": "ca.pem"}


@pytest.mark.usefixtures("authority")
def test_a_certificate_makes_the_address_https(start: Start, cli: Cli) -> None:
    url = start("up", "--port", "0", variables=TLS).ready()
    assert url.startswith("https://127.0.0.1:")
    assert cli("namespaces", "list", "--url", url, variables=TRUST).json == {"namespaces": []}


@pytest.mark.usefixtures("authority")
def test_who_does_not_know_the_authority_does_not_reach_it(start: Start, cli: Cli) -> None:
    url = start("up", "--port", "0", variables=TLS).ready()
    ended = cli("namespaces", "list", "--url", url)
    assert ended.code == 3
    assert "certificate" in ended.err.lower()


@pytest.mark.usefixtures("authority")
def test_plain_http_is_not_served_beside_it(start: Start, cli: Cli) -> None:
    url = start("up", "--port", "0", variables=TLS).ready()
    assert cli("namespaces", "list", "--url", url.replace("https", "http")).code == 3


@pytest.mark.usefixtures("authority")
def test_callers_must_show_a_certificate_where_an_authority_of_theirs_is_set(start: Start, cli: Cli) -> None:
    url = start("up", "--port", "0", variables={**TLS, "SOUNDSTAGE_HTTP__TLS__CLIENT_CA": "ca.pem"}).ready()
    assert cli("namespaces", "list", "--url", url, variables=TRUST).code == 3
    shown = {**TRUST, "SOUNDSTAGE_CERTIFICATE": "client.pem"}
    assert cli("namespaces", "list", "--url", url, variables=shown).code == 0


def test_a_certificate_of_another_authority_is_not_taken(
    start: Start, cli: Cli, authority: trustme.CA, tmp_path: Path
) -> None:
    stranger = trustme.CA().issue_cert("client@example.org")
    stranger.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "stranger.pem"))
    url = start("up", "--port", "0", variables={**TLS, "SOUNDSTAGE_HTTP__TLS__CLIENT_CA": "ca.pem"}).ready()
    shown = {**TRUST, "SOUNDSTAGE_CERTIFICATE": "stranger.pem"}
    assert cli("namespaces", "list", "--url", url, variables=shown).code == 3


def test_any_client_of_http_reaches_it(start: Start, authority: trustme.CA) -> None:
    url = start("up", "--port", "0", variables=TLS).ready()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    assert ask(f"{url}/health/ready", tls=context).status == 200


@pytest.mark.usefixtures("authority")
def test_old_versions_of_the_protocol_are_refused(start: Start) -> None:
    url = start("up", "--port", "0", variables=TLS).ready()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings(action="ignore"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError, match=r"(?i)ssl|protocol|alert|handshake"):
        ask(f"{url}/health/ready", tls=context)


@pytest.mark.usefixtures("authority")
def test_the_folder_of_such_a_stage_leads_to_it_too(start: Start, cli: Cli) -> None:
    start("up", "--port", "0", variables=TLS).ready()
    ended = cli("namespaces", "list", variables=TRUST)
    assert ended.code == 0
    assert "talking to it at https://" in ended.err
