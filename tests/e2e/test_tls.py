"""A stage behind certificates, and callers with and without theirs."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import trustme
from tests.e2e.processes import Ended, Place
from tests.e2e.web import ask

pytestmark = pytest.mark.slow

TLS = {"SOUNDSTAGE_HTTP__TLS__CERTIFICATE": "server.pem"}
MUTUAL = TLS | {"SOUNDSTAGE_HTTP__TLS__CLIENT_CA": "ca.pem"}
TRUST = {"SOUNDSTAGE_CA": "ca.pem"}


class Guarded(NamedTuple):
    """A stage behind a certificate, and one that wants to see those of its callers, in a folder with all of them."""

    place: Place
    authority: trustme.CA
    url: str
    mutual_url: str

    def listed(self, url: str, **shown: str) -> Ended:
        """How `namespaces list` ended that knows the authority and shows that."""
        return self.place.cli("namespaces", "list", "--url", url, variables=TRUST | shown)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Place(tmp_path_factory.mktemp("tls")) as place:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(place.folder / "ca.pem")
        issued = {
            "server.pem": authority.issue_cert("127.0.0.1", "localhost"),
            "client.pem": authority.issue_cert("client@example.org"),
            "stranger.pem": trustme.CA().issue_cert("client@example.org"),
        }
        for name, each in issued.items():
            each.private_key_and_cert_chain_pem.write_to_path(place.folder / name)
        open_to_all = place.start("up", "--port", "0", variables=TLS)
        mutual = place.start("up", "--port", "0", "--data", "mutual", variables=MUTUAL)
        yield Guarded(place, authority, open_to_all.ready(), mutual.ready())


def test_a_certificate_makes_the_address_https(guarded: Guarded) -> None:
    assert guarded.url.startswith("https://127.0.0.1:")
    assert guarded.listed(guarded.url).json == {"namespaces": []}


def test_who_does_not_know_the_authority_does_not_reach_it(guarded: Guarded) -> None:
    ended = guarded.place.cli("namespaces", "list", "--url", guarded.url)
    assert ended.code == 3
    assert "certificate" in ended.err.lower()


def test_plain_http_is_not_served_beside_it(guarded: Guarded) -> None:
    assert guarded.listed(guarded.url.replace("https", "http")).code == 3


def test_callers_must_show_a_certificate_where_an_authority_of_theirs_is_set(guarded: Guarded) -> None:
    assert guarded.listed(guarded.mutual_url).code == 3
    assert guarded.listed(guarded.mutual_url, SOUNDSTAGE_CERTIFICATE="client.pem").code == 0


def test_a_certificate_of_another_authority_is_not_taken(guarded: Guarded) -> None:
    assert guarded.listed(guarded.mutual_url, SOUNDSTAGE_CERTIFICATE="stranger.pem").code == 3


def test_any_client_of_http_reaches_it(guarded: Guarded) -> None:
    context = ssl.create_default_context()
    guarded.authority.configure_trust(context)
    assert ask(f"{guarded.url}/health/ready", tls=context).status == 200


def test_old_versions_of_the_protocol_are_refused(guarded: Guarded) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings(action="ignore"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(OSError, match=r"(?i)ssl|protocol|alert|handshake"):
        ask(f"{guarded.url}/health/ready", tls=context)


def test_the_folder_of_such_a_stage_leads_to_it_too(guarded: Guarded) -> None:
    ended = guarded.place.cli("namespaces", "list", variables=TRUST)
    assert ended.code == 0
    assert "talking to it at https://" in ended.err
