"""The URL of an engine on Cassandra, taken apart."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.cassandra.options import PORT, Address, CassandraOptions, parse_address


def parsed(url: str, options: dict[str, Any] | None = None, password_file: str | None = None) -> Address:
    return parse_address("main", urlsplit(url), options or {}, password_file)


def test_a_url_names_a_node_and_a_keyspace() -> None:
    assert parsed("cassandra://db.example/films") == Address(("db.example",), PORT, "films", CassandraOptions())


@pytest.mark.parametrize(
    ("netloc", "hosts", "port"),
    [
        ("a:9043,b,c", ("a", "b", "c"), 9_043),
        ("a:9043,b:9043", ("a", "b"), 9_043),
        ("127.0.0.1", ("127.0.0.1",), PORT),
        ("[::1]:9050", ("::1",), 9_050),
    ],
)
def test_nodes_share_one_port(netloc: str, hosts: tuple[str, ...], port: int) -> None:
    found = parsed(f"cassandra://{netloc}/films")
    assert (found.hosts, found.port) == (hosts, port)


@pytest.mark.parametrize("netloc", ["", ",", "a,", ":9042", "a:b", "a:1,b:2", "a:9042x"])
def test_nodes_that_are_none_are_refused_with_advice(netloc: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parsed(f"cassandra://{netloc}/films")
    assert (refused.value.field, bool(refused.value.hint)) == ("engines.main.url", True)


@pytest.mark.parametrize("path", ["", "/", "/a/b", "/1a", "/Films", "/a-b", "/" + "a" * 49, "/f%C3%A9"])
def test_a_keyspace_that_is_none_is_refused_with_advice(path: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parsed(f"cassandra://a{path}")
    assert (refused.value.field, bool(refused.value.hint)) == ("engines.main.url", True)


def test_options_stand_in_the_query_or_beside_it() -> None:
    query = "consistency=local_quorum&space=tests&replication=2&patience_s=2.5&tls_names=false"
    found = parsed(f"cassandra://a/films?{query}", {"in_flight": 9})
    assert found.options == CassandraOptions(
        consistency="local_quorum", space="tests", replication=2, patience_s=2.5, tls_names=False, in_flight=9
    )


def test_an_option_beside_the_url_goes_before_one_in_it() -> None:
    assert parsed("cassandra://a/films?consistency=one", {"consistency": "all"}).options.consistency == "all"


def test_who_logs_in_may_stand_before_the_nodes() -> None:
    found = parsed("cassandra://ada@a,b/films", password_file="/run/secret").options
    assert (found.user, found.password_file) == ("ada", "/run/secret")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("consistency=any", "consistency"),
        ("replication=0", "replication"),
        ("replication=two", "replication"),
        ("space=a%20b", "space"),
        ("tls_names=maybe", "tls_names"),
        ("nonsense=1", "nonsense"),
    ],
)
def test_an_option_that_is_wrong_is_named(query: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parsed(f"cassandra://a/films?{query}")
    assert refused.value.field == f"engines.main.options.{field}"
