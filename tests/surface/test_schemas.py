"""Schemas of messages: what they say, and that they say what the door does."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec
import pytest
from tests.surface.samples import OPERATIONS, All, Gallery, Inner, Show, ShowReply, Tree

from soundstage.core.codec import JSON, decoder
from soundstage.core.errors import InvalidArgument
from soundstage.core.operation import Operation
from soundstage.surface.examples import example_of, reply_example
from soundstage.surface.schemas import REF, Schemas

SCHEMAS = Schemas(OPERATIONS)
SHOW = SCHEMAS.components["Show"]["properties"]
REPLY = SCHEMAS.components["ShowReply"]

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)


def standing_alone(reference: dict[str, Any]) -> dict[str, Any]:
    """A schema that carries what it refers to."""
    return {**reference, "components": {"schemas": SCHEMAS.components}}


class TestNames:
    def test_a_message_has_its_own(self) -> None:
        assert SCHEMAS.name(Show, "request") == "Show"

    def test_one_of_both_sides_is_described_twice(self) -> None:
        assert (SCHEMAS.name(Inner, "request"), SCHEMAS.name(Inner, "reply")) == ("InnerInput", "Inner")
        assert "additionalProperties" in SCHEMAS.components["InnerInput"]
        assert "additionalProperties" not in SCHEMAS.components["Inner"]

    def test_a_reference_names_it(self) -> None:
        assert SCHEMAS.ref(Show, "request") == {"$ref": f"{REF}Show"}

    def test_all_components_are_referred_to_by_some_operation(self) -> None:
        assert {"Show", "ShowReply", "Tree", "Choice", "All", "InnerInput", "PutItems"} <= set(SCHEMAS.components)

    def test_one_word_of_two_systems_is_told_apart_by_the_system(self) -> None:
        other = msgspec.defstruct("Show", [("x", int)], module="soundstage.media.cinema.api")
        operations: list[Any] = [Gallery.show, _operation(other, All)]
        assert {"samples.Show", "cinema.Show"} <= set(Schemas(operations).components)

    def test_the_system_is_the_same_where_its_api_is_a_package(self) -> None:
        other = msgspec.defstruct("Show", [("x", int)], module="soundstage.media.cinema.api.shows")
        operations: list[Any] = [Gallery.show, _operation(other, All)]
        assert {"samples.Show", "cinema.Show"} <= set(Schemas(operations).components)

    def test_two_messages_of_one_module_and_name_are_refused(self) -> None:
        first, second = (msgspec.defstruct("Twin", [(name, int)], module="m.api") for name in ("x", "y"))
        with pytest.raises(TypeError, match="two messages have one name"):
            Schemas([_operation(first, All), _operation(second, All)])


def _operation(request: type[Any], reply: type[Any]) -> Any:
    class Declared:
        pass

    declared: Any = Declared()
    declared.request, declared.reply, declared.answer, declared.namespaced = request, reply, reply, False
    return declared


class TestRequests:
    def test_no_other_fields_are_allowed(self) -> None:
        assert SCHEMAS.components["Show"]["additionalProperties"] is False

    def test_what_has_no_default_is_required_and_so_is_the_namespace(self) -> None:
        assert SCHEMAS.components["Show"]["required"] == [
            "namespace", "id", "count", "at", "ttl", "size", "order", "key", "inner", "many", "by_name", "choice",
        ]  # fmt: skip

    def test_the_doc_is_the_description(self) -> None:
        assert SCHEMAS.components["Show"]["description"] == "What to show."

    @pytest.mark.parametrize(
        ("field", "schema"),
        [
            ("namespace", {"type": "string", "minLength": 1, "maxLength": 64}),
            (
                "id",
                {"type": "string", "minLength": 1, "maxLength": 10, "pattern": "^[a-z]+$", "description": "which one"},
            ),
            ("count", {"type": "integer", "format": "int64", "minimum": 7, "maximum": 2**63 - 1}),
            ("order", {"enum": ["asc", "desc"]}),
            ("inner", {"$ref": f"{REF}InnerInput"}),
            ("many", {"type": "array", "items": {"$ref": f"{REF}InnerInput"}, "maxItems": 3}),
            ("limit", {"type": "integer", "format": "int64", "minimum": 1, "maximum": 50, "default": 20}),
            ("free", {}),
            ("labels", {"type": "array", "items": {"type": "string"}, "default": []}),
        ],
    )
    def test_a_field_is_described(self, field: str, schema: dict[str, Any]) -> None:
        assert SHOW[field] == schema

    def test_null_stands_for_what_may_be_left_out(self) -> None:
        assert SHOW["maybe"]["anyOf"][-1] == {"type": "null"}
        assert [option.get("type", "message") for option in SHOW["either"]["anyOf"]] == ["message", "array", "null"]

    def test_bytes_are_base64(self) -> None:
        assert SHOW["key"]["contentEncoding"] == "base64"

    def test_maps_describe_their_values(self) -> None:
        assert SHOW["by_name"]["additionalProperties"]["type"] == "integer"

    def test_bounds_may_exclude(self) -> None:
        ratio = SCHEMAS.components["InnerInput"]["properties"]["ratio"]
        assert (ratio["exclusiveMinimum"], ratio["exclusiveMaximum"]) == (0, 2)


class TestReplies:
    def test_other_fields_may_come(self) -> None:
        assert "additionalProperties" not in REPLY

    def test_all_but_what_may_be_null_always_comes(self) -> None:
        assert REPLY["required"] == ["names", "tree", "at", "version"]

    def test_null_never_comes(self) -> None:
        assert REPLY["properties"]["inner"] == {"$ref": f"{REF}Inner"}

    def test_instants_are_text(self) -> None:
        assert REPLY["properties"]["at"] == {"type": "string", "format": "date-time"}

    def test_a_message_may_hold_itself(self) -> None:
        assert SCHEMAS.components[SCHEMAS.name(Tree, "reply")]["properties"]["children"]["items"] == {
            "$ref": f"{REF}Tree"
        }


def test_what_cannot_be_described_is_refused() -> None:
    odd = msgspec.defstruct("Odd", [("x", set[int])], module="m.api")
    with pytest.raises(TypeError, match="cannot be described"):
        Schemas([_operation(odd, ShowReply)])


@every_operation
def test_examples_are_valid(operation: Operation[..., Any]) -> None:
    sides = (
        ("request", operation.request, example_of(operation)),
        ("reply", operation.answer, reply_example(operation)),
    )
    for side, message_type, message in sides:
        schema = standing_alone(SCHEMAS.ref(message_type, side))  # type: ignore[arg-type]
        jsonschema_rs.validator_for(schema).validate(message)


@every_operation
def test_a_field_more_is_invalid_as_it_is_at_the_door(operation: Operation[..., Any]) -> None:
    message = {**example_of(operation), "xyzzy": 1}
    schema = standing_alone(SCHEMAS.ref(operation.request, "request"))
    assert not jsonschema_rs.validator_for(schema).is_valid(message)
    with pytest.raises(InvalidArgument, match="xyzzy is no known field"):
        decoder(operation.request, JSON).decode(msgspec.json.encode(message))
