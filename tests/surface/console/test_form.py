from __future__ import annotations

from typing import Any

import pytest
from tests.runtime.conftest import make
from tests.surface.http.asgi_client import Caller

from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.console.form import Form, FormField, Forms, fields_of, forms_of
from soundstage.surface.http.app import Application


@pytest.fixture
def forms(stage: Stage) -> Forms:
    return forms_of(stage)


def typed(schema: dict[str, Any]) -> FormField:
    (field,) = fields_of({"properties": {"it": schema}})
    return field


def test_every_operation_has_its_form(stage: Stage, forms: Forms) -> None:
    assert set(forms) == set(stage.operations())


def test_a_form_says_what_the_operation_is(forms: Forms) -> None:
    form = forms["kv", "put_items"]
    assert (form.system, form.operation, form.path) == ("kv", "put_items", "/v1/kv/put_items")
    assert (form.access, form.idempotent, form.namespaced) == ("write", True, True)
    assert form.doc.startswith("Store items")


def test_a_form_names_the_fields_of_request_and_reply(forms: Forms) -> None:
    form = forms["kv", "get_items"]
    assert [field.name for field in form.request][:3] == ["namespace", "id", "predicate"]
    assert {field.name: field.required for field in form.request}["id"]
    assert [field.name for field in form.reply] == ["items", "record_token", "next_page_token"]


def test_a_form_says_where_its_reply_holds_bytes(forms: Forms) -> None:
    assert forms["kv", "get_items"].bytes == ["items.key", "items.value"]
    assert forms["kv", "scan_items"].bytes == ["records.items.key", "records.items.value"]
    assert forms["jobs", "list"].bytes == []


def test_a_namespace_that_is_a_message_is_not_offered_for_choice(forms: Forms) -> None:
    assert not forms["namespaces", "put"].namespaced
    assert not forms["tokens", "list"].namespaced


async def test_every_example_can_be_sent(stage: Stage, forms: Forms) -> None:
    """Not all make sense, but none is told that its shape is wrong."""
    await make(stage, "example")
    caller = Caller(Application(stage, HttpConfig()))
    for form in forms.values():
        if form.method != "POST":
            # Of these no message is sent.
            continue
        answer = await caller.post(form.path, form.example, soundstage_timeout="5s")
        assert answer.status in (200, 400, 404, 409, 412, 422), form.path
        if answer.status == 400:
            assert not is_about_shape(answer.json()["detail"]), (form.path, answer.json())


def is_about_shape(detail: str) -> bool:
    return any(words in detail for words in ("expected `", "is missing", "is no known field", "malformed"))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "text"),
        ({"type": "integer"}, "integer"),
        ({"type": "integer", "format": "int64"}, "integer"),
        ({"type": "number"}, "number"),
        ({"type": "boolean"}, "yes or no"),
        ({"type": "string", "format": "date-time"}, "instant"),
        ({"type": "string", "contentEncoding": "base64"}, "bytes (base64)"),
        ({"enum": ["asc", "desc"]}, "'asc' or 'desc'"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "object"}, "map"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "map to integer"),
        ({"type": "object", "additionalProperties": True}, "map"),
        ({"$ref": "#/components/schemas/Item"}, "Item"),
        ({"anyOf": [{"$ref": "#/components/schemas/Item"}, {"type": "null"}]}, "Item"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "integer or text"),
        ({}, "anything"),
    ],
)
def test_types_are_said_in_words(schema: dict[str, Any], words: str) -> None:
    assert typed(schema).type == words


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/components/schemas/Item"},
        {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
        {"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/Item"}]},
    ],
)
def test_a_field_of_messages_names_the_message(schema: dict[str, Any]) -> None:
    assert typed(schema).message == "Item"


def test_a_field_of_plain_values_names_none() -> None:
    assert typed({"type": "string"}).message is None


def test_a_message_without_fields_has_none() -> None:
    assert fields_of({"type": "object"}) == []


async def test_the_twin_of_a_page_is_the_form(stage: Stage, forms: Forms) -> None:
    answer = await Caller(Application(stage, HttpConfig())).ask("/console/kv/count_items.json")
    shown = answer.json()
    assert set(shown) == set(Form.__struct_fields__)
    assert (shown["path"], shown["example"]) == ("/v1/kv/count_items", forms["kv", "count_items"].example)
