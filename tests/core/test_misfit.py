from __future__ import annotations

from typing import Any

import msgspec
import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.core.message import Duration
from soundstage.core.misfit import ENCODE, misfit


class Inner(msgspec.Struct):
    key: bytes
    value: bytes = b""


class Message(msgspec.Struct):
    name: str = "n"
    key: bytes = b""
    either: Inner | None = None
    inner: list[Inner] = []
    ttl: Duration | None = None
    count: int | None = None
    share: float = 0.0
    sure: bool = False
    notes: dict[str, Any] = {}
    whatever: Any = None


def loosely(**fields: Any) -> InvalidArgument | None:
    return misfit(Message(**fields))


def test_a_message_as_declared_is_none() -> None:
    fine = Message(either=Inner(b"k"), inner=[Inner(b"k")], ttl=Duration(5), count=3, share=1, whatever=object())
    assert misfit(fine) is None


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"name": b"n"}, "name", "name is bytes, not text"),
        ({"key": "k"}, "key", "key is str, not bytes"),
        ({"either": {"key": b"k"}}, "either", "either is dict, not Inner"),
        ({"either": Inner("k")}, "either.key", "either.key is str, not bytes"),  # type: ignore[arg-type]
        ({"inner": Inner(b"k")}, "inner", "inner is Inner, not a list"),
        ({"inner": [Inner(b"k"), {"key": b"k"}]}, "inner[1]", "inner[1] is dict, not Inner"),
        ({"inner": [Inner(b"k", 5)]}, "inner[0].value", "inner[0].value is int, not bytes"),  # type: ignore[arg-type]
        ({"ttl": "1h"}, "ttl", "ttl is str, not Duration"),
        ({"count": "3"}, "count", "count is str, not an integer"),
        ({"share": "1"}, "share", "share is str, not a number"),
        ({"sure": "yes"}, "sure", "sure is str, not a boolean"),
        ({"notes": [1]}, "notes", "notes is list, not a map"),
    ],
)
def test_what_is_not_as_declared_is_named_with_its_place(fields: dict[str, Any], field: str, told: str) -> None:
    found = loosely(**fields)
    assert found is not None
    assert (found.field, found.detail) == (field, told)


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"key": "k"}, ENCODE),
        ({"name": b"n"}, "bytes become text by decode()"),
        ({"ttl": "1h"}, "pass Duration(…)"),
        ({"either": {}}, "pass Inner(…)"),
        ({"sure": "yes"}, None),
    ],
)
def test_what_to_do_is_told_where_it_is_known(fields: dict[str, Any], hint: str | None) -> None:
    found = loosely(**fields)
    assert found is not None
    assert found.hint == hint
