"""Which operations clients do something of themselves for, and what becomes of a message."""

from __future__ import annotations

from typing import Any

import pytest

from soundstage.core.attunement import Hedging, attunement_of, understanding_of, understood
from soundstage.core.codec import JSON, decoder
from soundstage.core.compression import compress
from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.operation import Operation, operations_of
from soundstage.data.kv.api import GetItemsReply, Item, ItemMetadata, KeyValueCalls
from soundstage.data.kv.attunement import ATTUNEMENT
from soundstage.runtime.namespaces.api import CALLS as NAMESPACE_CALLS


def reply(*values: bytes) -> GetItemsReply:
    return GetItemsReply(items=[coded(value) for value in values])


def coded(value: bytes) -> Item:
    metadata = ItemMetadata(token=IdempotencyToken(Instant(1), "t"), size=len(value), codec="zstd")
    return Item(key=b"k", value=compress("zstd", value), metadata=metadata)


def test_a_system_names_what_is_done_for_its_calls() -> None:
    assert attunement_of(KeyValueCalls.put_items) is ATTUNEMENT


def test_nothing_is_done_for_those_that_it_does_not_concern() -> None:
    assert attunement_of(KeyValueCalls.handshake) is None


def test_nor_for_systems_that_name_nothing() -> None:
    assert {attunement_of(each) for each in operations_of(NAMESPACE_CALLS).values()} == {None}


def test_a_reply_is_shown_as_its_caller_is_to_see_it() -> None:
    assert understood(KeyValueCalls.get_items, reply(b"v" * 500)).items[0].value == b"v" * 500


def test_no_more_than_is_allowed() -> None:
    with pytest.raises(TooLarge):
        understood(KeyValueCalls.get_items, reply(b"v" * 500, b"w" * 500), 999)


def test_a_message_that_has_nothing_of_it_is_the_same() -> None:
    plain = GetItemsReply(items=[])
    assert understood(KeyValueCalls.get_items, plain) is plain


def test_more_than_a_twentieth_may_not_be_sent_twice() -> None:
    with pytest.raises(InvalidArgument):
        decoder(Hedging, JSON).decode(b'{"share": 0.06}')


def test_callers_in_process_are_shown_what_is_understood() -> None:
    understand = understanding_of(KeyValueCalls.get_items)
    assert understand is not None
    assert understand(reply(b"v" * 500)).items[0].value == b"v" * 500
    plain = GetItemsReply(items=[])
    assert understand(plain) is plain


@pytest.mark.parametrize("operation", [KeyValueCalls.handshake, KeyValueCalls.put_items])
def test_a_reply_that_shows_no_values_costs_them_nothing(operation: Operation[..., Any]) -> None:
    assert understanding_of(operation) is None
