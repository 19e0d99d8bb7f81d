"""What the URL of an engine says."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from soundstage.core.errors import InvalidArgument, Unauthenticated
from soundstage.engines.search.opensearch.options import OpenSearchAddress, parse_address, password, tls_context
from soundstage.runtime.urls import split_url


def parsed(url: str, password_file: str | None = None, **options: object) -> OpenSearchAddress:
    return parse_address("films", split_url("films", url), options, password_file)


def test_a_host_alone_is_enough() -> None:
    address = parsed("opensearch://one")
    assert (address.hosts, address.space, address.bases) == (("one:9200",), "main", ("http://one:9200",))


def test_nodes_have_ports_of_their_own() -> None:
    assert parsed("opensearch://one:1,two,[::1]:3/films").hosts == ("one:1", "two:9200", "[::1]:3")


def test_options_of_the_file_go_before_those_of_the_url() -> None:
    address = parsed("opensearch://ali@one/films?shards=2&tls=true&patience_s=1.5", shards=3)
    options = address.options
    assert (options.user, options.shards, options.tls, options.patience_s) == ("ali", 3, True, 1.5)
    assert address.bases == ("https://one:9200",)


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("opensearch:", "engines.films.url"),
        ("opensearch://one:x", "engines.films.url"),
        ("opensearch://one:70000", "engines.films.url"),
        ("opensearch://one,,two", "engines.films.url"),
        ("opensearch://one/A", "engines.films.url"),
        ("opensearch://one?shads=2", "engines.films.options.shads"),
        ("opensearch://one?shards=many", "engines.films.options.shards"),
        ("opensearch://one?replicas=-1", "engines.films.options.replicas"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(url: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parsed(url)
    assert refusal.value.field == field


def test_a_user_needs_a_password(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="password"):
        password(parsed("opensearch://ali@one").options)
    with pytest.raises(Unauthenticated, match="cannot be read"):
        password(parsed("opensearch://ali@one", str(tmp_path / "none")).options)


def test_a_password_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_PASSWORD", "open sesame")
    assert password(parsed("opensearch://ali@one", password_env="SEARCH_PASSWORD").options) == "open sesame"


def test_files_of_tls_are_read(tmp_path: Path) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("one")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    places = {f"tls_{name}": str(tmp_path / f"{name}.pem") for name in ("ca", "cert", "key")}
    address = parsed("opensearch://one?tls_names=false", **places)
    assert address.bases == ("https://one:9200",)
    assert tls_context(address.options).check_hostname is False


def test_files_of_tls_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    for place in (tmp_path / "ca.pem", tmp_path / "none"):
        with pytest.raises(InvalidArgument):
            tls_context(parsed("opensearch://one", tls_ca=str(place)).options)
