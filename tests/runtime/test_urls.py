from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.runtime.urls import split_url


@pytest.mark.parametrize("nodes", ["one", "one:1", "[::1]:3", "one:1,two", "one:1,two,[::1]:3", "ali@one,[::1]"])
def test_a_url_names_one_node_or_several(nodes: str) -> None:
    parts = split_url("films", f"opensearch://{nodes}/films?shards=2#x")
    assert tuple(parts) == ("opensearch", nodes, "/films", "shards=2", "x")


def test_the_user_is_told_from_the_nodes() -> None:
    assert split_url("films", "opensearch://ali@one,two/films").username == "ali"


def test_a_comma_elsewhere_makes_no_nodes() -> None:
    parts = split_url("films", "rocksdb:a,b")
    assert (parts.netloc, parts.path) == ("", "a,b")


@pytest.mark.parametrize("nodes", ["ali:secret@one", "ali:secret@one,two"])
def test_a_password_is_refused_and_not_told(nodes: str) -> None:
    with pytest.raises(InvalidArgument, match="holds a password") as refused:
        split_url("films", f"opensearch://{nodes}/films")
    assert (refused.value.field, "secret" in str(refused.value)) == ("engines.films.url", False)


def test_a_malformed_one_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="malformed"):
        split_url("films", "opensearch://[::1/films")
