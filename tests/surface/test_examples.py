from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.surface.samples import OPERATIONS, Gallery

from soundstage.core.codec import JSON, decoder
from soundstage.core.operation import Operation
from soundstage.surface.examples import example_of, reply_example

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)


@every_operation
def test_an_example_is_a_request_in_shape(operation: Operation[..., Any]) -> None:
    body = msgspec.json.encode(example_of(operation))
    decoder(operation.request, JSON).decode(body)


@every_operation
def test_an_example_of_a_reply_is_one(operation: Operation[..., Any]) -> None:
    body = msgspec.json.encode(reply_example(operation))
    decoder(operation.answer, JSON, strict=False).decode(body)


@every_operation
def test_an_example_of_a_reply_has_no_null(operation: Operation[..., Any]) -> None:
    assert b"null" not in msgspec.json.encode(reply_example(operation))


class TestRequest:
    EXAMPLE = example_of(Gallery.show)

    def test_it_has_what_must_be_given_and_no_more(self) -> None:
        assert set(self.EXAMPLE) == {
            "namespace",
            "id",
            "count",
            "at",
            "ttl",
            "size",
            "order",
            "key",
            "inner",
            "many",
            "by_name",
            "choice",
        }

    def test_a_namespace_is_named_although_a_client_in_process_need_not(self) -> None:
        assert self.EXAMPLE["namespace"] == "example"

    def test_scalars_are_as_the_wire_writes_them(self) -> None:
        assert (self.EXAMPLE["at"], self.EXAMPLE["ttl"], self.EXAMPLE["size"]) == ("2026-11-24T08:15:00Z", "10s", 4_096)

    def test_an_integer_is_within_its_bounds(self) -> None:
        assert self.EXAMPLE["count"] == 7

    def test_the_first_of_some_words_is_taken(self) -> None:
        assert self.EXAMPLE["order"] == "asc"

    def test_bytes_are_base64(self) -> None:
        assert self.EXAMPLE["key"] == "aGVsbG8="

    def test_a_message_inside_is_an_example_of_itself(self) -> None:
        assert self.EXAMPLE["inner"] == {"flag": True, "ratio": 1.0}

    def test_a_list_has_one_entry(self) -> None:
        assert self.EXAMPLE["many"] == [{"flag": True, "ratio": 1.0}]

    def test_of_a_choice_the_first_message_is_chosen(self) -> None:
        assert self.EXAMPLE["choice"] == {"all": {}}


class TestReply:
    EXAMPLE = reply_example(Gallery.show)

    def test_it_has_what_always_comes(self) -> None:
        assert set(self.EXAMPLE) == {"names", "tree", "at", "version"}

    def test_defaults_are_shown_as_they_are_sent(self) -> None:
        assert self.EXAMPLE["version"] == 1

    def test_a_message_within_itself_ends(self) -> None:
        assert self.EXAMPLE["tree"] == {"name": "example", "children": []}
