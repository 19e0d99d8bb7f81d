from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.core.given import as_read
from soundstage.core.time import Duration, Instant


class Part(msgspec.Struct, kw_only=True):
    key: bytes
    ttl: Duration | None = None


class Whole(msgspec.Struct, kw_only=True):
    name: str = "a"
    count: Annotated[int, Meta(ge=1, le=9)] = 1
    rate: float | None = None
    at: Instant | None = None
    parts: list[Part] = []
    by_name: dict[str, Part] = {}
    roles: list[str] = []


TEXT: Any = "k"
FIVE: Any = 5

WRONG: list[tuple[Any, str]] = [
    ({"name": 5}, "name"),
    ({"count": 0}, "count"),
    ({"count": "5"}, "count"),
    ({"count": 2**70}, "count"),
    ({"rate": "5"}, "rate"),
    ({"rate": float("nan")}, "rate"),
    ({"name": "\ud800"}, "name"),
    ({"roles": "read"}, "roles"),
    ({"parts": [Part(key=TEXT)]}, "parts[0].key"),
    ({"parts": [Part(key=b"k", ttl=FIVE)]}, "parts[0].ttl"),
    ({"parts": [Part(key=b"k"), object()]}, "parts[1]"),
]


@pytest.mark.parametrize(("fields", "field"), WRONG)
def test_what_no_remote_caller_could_send_is_refused_by_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        as_read(Whole(**fields))
    assert caught.value.field == field


def test_what_is_right_is_read_as_it_is() -> None:
    given = Whole(at=Instant(5), rate=0.5, parts=[Part(key=b"k", ttl=Duration(1_500))], by_name={"x": Part(key=b"")})
    assert as_read(given) == given


def test_what_is_read_shares_nothing_with_what_was_given() -> None:
    given = Whole(roles=["read"])
    read = as_read(given)
    given.roles.append("admin")
    assert read.roles == ["read"]


def test_maps_and_tuples_are_read_as_the_wire_reads_them() -> None:
    parts: Any = ({"key": b"k"},)
    given = Whole(parts=parts)
    assert as_read(given).parts == [Part(key=b"k")]
