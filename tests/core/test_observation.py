from __future__ import annotations

import msgspec
import pytest

from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.observation import observer
from soundstage.data.kv.api import (
    CountItemsReply,
    GetItemsReply,
    Item,
    ItemMetadata,
    PutItemsReply,
    ScanItemsReply,
    ScannedRecord,
)


class Pair(msgspec.Struct):
    left: IdempotencyToken | None = None
    right: IdempotencyToken | None = None


class Nested(msgspec.Struct):
    pairs: list[Pair]
    note: str = ""


class Either(msgspec.Struct):
    number_or_text: int | str


def token(time_us: int) -> IdempotencyToken:
    return IdempotencyToken(Instant.from_us(time_us), "t")


def item(time_us: int) -> Item:
    return Item(key=b"k", value=b"v", metadata=ItemMetadata(token=token(time_us), size=1))


def greatest(message: msgspec.Struct) -> int:
    found = observer(type(message))
    assert found is not None
    return found(message)


def test_a_token_is_its_own_time() -> None:
    assert greatest(token(5)) == 5


def test_a_token_in_a_field_is_found() -> None:
    assert greatest(PutItemsReply(idempotency_token=token(7))) == 7


def test_the_greatest_of_two_fields_counts() -> None:
    assert greatest(Pair(token(3), token(9))) == greatest(Pair(token(9), token(3))) == 9


@pytest.mark.parametrize("message", [Pair(), Nested([]), Nested([Pair()])])
def test_without_a_token_the_time_is_zero(message: msgspec.Struct) -> None:
    assert greatest(message) == 0


def test_tokens_in_lists_of_messages_are_found() -> None:
    assert greatest(Nested([Pair(token(1)), Pair(token(8), token(2))])) == 8


def test_tokens_deep_in_lists_of_lists_are_found() -> None:
    records = [ScannedRecord(id="a", items=[item(4), item(6)]), ScannedRecord(id="b", items=[item(5)])]
    assert greatest(ScanItemsReply(records=records)) == 6


def test_the_token_of_a_record_counts_as_those_of_its_items() -> None:
    assert greatest(GetItemsReply(items=[item(4)], record_token=token(10))) == 10
    assert greatest(GetItemsReply(items=[item(4)])) == 4


@pytest.mark.parametrize("message", [CountItemsReply, Either])
def test_a_message_that_can_hold_no_token_has_no_observer(message: type[msgspec.Struct]) -> None:
    assert observer(message) is None


def test_nanoseconds_are_floored_to_microseconds() -> None:
    assert greatest(IdempotencyToken(Instant(1_999), "t")) == 1
