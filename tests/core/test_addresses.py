"""Requests as addresses, and addresses as requests."""

# pyright: reportReturnType=false
from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.addresses import address_of, is_simple, queried, request_at
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.core.message import Duration, Instant
from soundstage.core.streaming import StreamOperation, download, upload


class Inner(msgspec.Struct):
    at: Instant
    word: str = ""


class Put(msgspec.Struct, kw_only=True):
    room: str = ""
    key: bytes
    ttl: Duration | None = None
    count: int | None = None
    loud: bool = False
    inner: Inner | None = None
    many: list[Inner] = []


class Get(msgspec.Struct, kw_only=True):
    room: str = ""
    key: bytes
    start: int = 0
    end: int | None = None
    inner: Inner | None = None


class Said(msgspec.Struct):
    checksum: str


class Calls:
    system = "attic"

    @upload(Put, place="box/{room}/{key}", access="write")
    def put(self) -> Said:
        """Put."""

    @download(Get, place="box/{room}/{key}", access="read")
    def get(self) -> Said:
        """Get."""


PUT: StreamOperation[..., Any] = Calls.put
GET: StreamOperation[..., Any] = Calls.get
INNER = Inner(Instant(1_700_000_000_000_000_000), "é&=?")


def back(operation: StreamOperation[..., Any], address: str) -> Any:
    path, _, query = address.partition("?")
    return request_at(operation, path.encode(), query.encode())


def test_the_last_parts_of_a_path_are_fields_percent_encoded() -> None:
    assert address_of(PUT, Put(room="a/é", key=b"\xff/ .")) == "/v1/attic/box/a%2F%C3%A9/%FF%2F%20."


@pytest.mark.parametrize("key", [b".", b"..", b"...", b""])
def test_no_part_is_a_step(key: bytes) -> None:
    address = address_of(PUT, Put(room="..", key=key))
    assert "/../" not in address
    assert not address.endswith(("/.", "/.."))
    assert back(PUT, address) == Put(room="..", key=key)


@given(
    st.text(min_size=1),
    st.binary(),
    st.none() | st.integers(1, 10**15).map(Duration),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.none() | st.just(INNER),
    st.lists(st.just(INNER), max_size=2),
)
def test_an_address_spells_its_request(
    room: str,
    key: bytes,
    ttl: Duration | None,
    count: int | None,
    loud: bool,
    inner: Inner | None,
    many: list[Inner],
) -> None:
    request = Put(room=room, key=key, ttl=ttl, count=count, loud=loud, inner=inner, many=many)
    assert back(PUT, address_of(PUT, request)) == request


def test_the_range_of_a_download_is_no_part_of_its_address() -> None:
    assert address_of(GET, Get(room="a", key=b"k", start=5, end=7)) == "/v1/attic/box/a/k"
    with pytest.raises(InvalidArgument, match="no part of a query"):
        back(GET, "/v1/attic/box/a/k?start=5")


def test_what_holds_other_fields_is_json() -> None:
    simple = {field.name: is_simple(field) for field in queried(PUT)}
    assert simple == {"ttl": True, "count": True, "loud": True, "inner": False, "many": False}


@pytest.mark.parametrize(
    "address", ["/v1/attic/box/a", "/v1/attic/box/a/b/c", "/v1/attic/bottle/a/b", "/v1/attic/box/a/b/"]
)
def test_an_address_of_other_parts_is_not_found(address: str) -> None:
    with pytest.raises(NotFound, match="parts"):
        back(PUT, address)


@pytest.mark.parametrize(
    ("rest", "field"),
    [
        ("%FF/k", "room"),
        ("a/k?key=b", "key"),
        ("a/k?inner=nonsense", "inner"),
        ("a/k?inner=" + "[" * 5_000, "inner"),
        ("a/k?inner=%7B%22at%22%3A7%2C%22wrod%22%3A1%7D", "inner.wrod"),
        ("a/k?count=many", "count"),
        ("a/k?cuont=1", "cuont"),
        ("a/k?count", "query"),
        ("a/k?count=1&count=2", "count"),
        ("a/k?count=%FF", "query"),
        ("a/k?count=\xff", "query"),
    ],
)
def test_what_is_wrong_with_an_address_is_told(rest: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        back(PUT, f"/v1/attic/box/{rest}")
    assert refused.value.field == field
