from __future__ import annotations

from typing import Any

import msgspec
import pytest

from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.time import Duration
from soundstage.data.kv.api import (
    CountItemsReply,
    GetItemsReply,
    Item,
    ItemMetadata,
    PutItemsReply,
    ScanItemsReply,
    ScannedRecord,
)
from soundstage.surface.cli.tables import cells, headings, listing, readable, rows

TOKEN = IdempotencyToken(Instant(0), "t")


class Grants(msgspec.Struct):
    grants: dict[str, list[str]]


class Pair(msgspec.Struct):
    pairs: tuple[CountItemsReply, ...] = ()
    note: str | None = None


class Circle(msgspec.Struct, tag="circle"):
    radius: float


def item(key: bytes, value: bytes | None = b"v") -> Item:
    return Item(key=key, value=value, metadata=ItemMetadata(token=TOKEN, size=1))


def test_a_listing_has_its_elements_and_what_stands_beside() -> None:
    found = listing(GetItemsReply(items=[item(b"a")], next_page_token="more"))
    assert found.name == "items"
    assert [element["key"] for element in found.elements or []] == ["a"]
    assert found.beside == {"next_page_token": "more"}


def test_a_reply_without_a_list_is_all_beside() -> None:
    found = listing(CountItemsReply(count=3, exact=True))
    assert (found.elements, found.beside) == (None, {"count": 3, "exact": True})


def test_an_empty_list_is_a_listing_too() -> None:
    assert listing(GetItemsReply(items=[])).elements == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"Ada", "Ada"),
        (b"\0", "hex:00"),
        (Instant(0), "1970-01-01T00:00:00Z"),
        (Duration(1_000_000_000), "1s"),
        ([b"a", b"\0"], ["a", "hex:00"]),
        ((1, 2), [1, 2]),
        ({"*": [b"a"]}, {"*": ["a"]}),
        (Pair(), {"pairs": []}),
        (Circle(1.5), {"type": "circle", "radius": 1.5}),
        (TOKEN, {"generation_time": "1970-01-01T00:00:00Z", "token": "t"}),
        (True, True),
        (7, 7),
    ],
)
def test_values_are_made_readable(value: Any, text: Any) -> None:
    assert readable(value) == text


def test_a_nested_message_gives_dotted_cells() -> None:
    assert cells(readable(PutItemsReply(idempotency_token=TOKEN))) == {
        "idempotency_token.generation_time": "1970-01-01T00:00:00Z",
        "idempotency_token.token": "t",
    }


def test_a_map_is_one_cell_for_its_keys_are_data() -> None:
    assert cells(readable(Grants({"*": ["read", "write"], "x": []}))) == {"grants": "*=read, write, x="}


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (1.5, "1.5"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ([], ""),
        (["a", "b"], "a, b"),
        ([{"a": 1}], '[{"a":1}]'),
    ],
)
def test_cells_are_text_that_steers_no_terminal(value: Any, cell: str) -> None:
    assert cells({"x": value}) == {"x": cell}


def test_a_list_within_a_row_makes_a_row_of_each_element() -> None:
    reply = ScanItemsReply(
        records=[ScannedRecord(id="1", items=[item(b"a"), item(b"b")]), ScannedRecord(id="2", items=[item(b"c")])]
    )
    assert [(row["id"], row["key"]) for row in rows(listing(reply).elements or [])] == [
        ("1", "a"),
        ("1", "b"),
        ("2", "c"),
    ]


def test_an_element_without_inner_elements_is_one_row() -> None:
    reply = ScanItemsReply(records=[ScannedRecord(id="1", items=[])])
    assert rows(listing(reply).elements or []) == [{"id": "1", "items": ""}]


def test_elements_that_are_no_messages_are_rows_of_one_cell() -> None:
    assert rows(["a", 1]) == [{"": "a"}, {"": "1"}]


def test_headings_are_as_short_as_they_can_be() -> None:
    assert headings(["key", "metadata.token.token", "metadata.size", "other.size"]) == [
        "key",
        "token",
        "metadata.size",
        "other.size",
    ]
