"""The form of one operation, as data: its JSON twin is `/console/<system>/<operation>.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, cast

import msgspec
from msgspec import inspect

from soundstage.core.operation import Kind, Operation
from soundstage.core.shape import Node, alternatives, list_field
from soundstage.runtime.stage import Stage
from soundstage.surface.examples import example_of
from soundstage.surface.schemas import Schemas


class FormField(msgspec.Struct, frozen=True, kw_only=True):
    """`type` is in words; `message` names the message that it is of, if it is one."""

    name: str
    type: str
    required: bool
    doc: str
    message: str | None = None


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller of one operation needs to know, and a request to begin with.

    `namespaced`: its request names one namespace. `bytes` are the dotted paths in its reply that hold bytes.
    `rows` is the list in its reply that is shown as a table; None where there is none.
    """

    system: str
    operation: str
    path: str
    kind: Kind
    method: str
    doc: str
    access: str
    idempotent: bool
    namespaced: bool
    example: dict[str, Any]
    request: list[FormField]
    reply: list[FormField]
    bytes: list[str]
    rows: str | None


Forms: TypeAlias = dict[tuple[str, str], Form]


def forms_of(stage: Stage) -> Forms:
    """The forms of all operations, by system and name."""
    operations = {place: bound.operation for place, bound in stage.operations().items()}
    schemas = Schemas(operations.values())
    return {place: _form(operation, schemas) for place, operation in operations.items()}


def _form(operation: Operation[..., Any], schemas: Schemas) -> Form:
    example = example_of(operation)
    return Form(
        system=operation.system,
        operation=operation.name,
        path=operation.path,
        kind=operation.kind,
        method=operation.method,
        doc=operation.doc,
        access=operation.access,
        idempotent=operation.idempotent,
        namespaced="namespace" in example and isinstance(example["namespace"], str),
        example=example,
        request=fields_of(schemas.components[schemas.name(operation.request, "request")]),
        reply=fields_of(schemas.components[schemas.name(operation.answer, "reply")]),
        bytes=list(_bytes_in(inspect.type_info(operation.answer), "", frozenset())),
        rows=list_field(operation.answer),
    )


def _bytes_in(node: Node, path: str, within: frozenset[type[Any]]) -> Iterator[str]:
    """The dotted paths of all bytes in a message of type `node`; elements of a list go by its name."""
    for each in alternatives(node):
        if isinstance(each, inspect.BytesType):
            yield path
        elif isinstance(each, inspect.ListType):
            yield from _bytes_in(each.item_type, path, within)
        elif isinstance(each, inspect.StructType) and each.cls not in within:
            for field in each.fields:
                inner = f"{path}.{field.encode_name}" if path else field.encode_name
                yield from _bytes_in(field.type, inner, within | {each.cls})


def fields_of(schema: dict[str, Any]) -> list[FormField]:
    """The fields that a schema of a message describes."""
    required = set(schema.get("required", []))
    return [
        FormField(
            name=name,
            type=_type(field),
            required=name in required,
            doc=field.get("description", ""),
            message=_message(field),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(name for name in map(_type, schema["anyOf"]) if name != "null"))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        return f"map to {_type(cast('dict[str, Any]', values))}"
    if schema.get("contentEncoding") == "base64":
        return "bytes (base64)"
    if "enum" in schema:
        return " or ".join(repr(value) for value in schema["enum"])
    return _WORDS.get(schema.get("format") or schema.get("type", ""), "anything")


_WORDS = {
    "string": "text",
    "integer": "integer",
    "int64": "integer",
    "number": "number",
    "boolean": "yes or no",
    "object": "map",
    "null": "null",
    "date-time": "instant",
}


def _message(schema: dict[str, Any]) -> str | None:
    found = [schema, *schema.get("anyOf", []), schema.get("items", {})]
    return next((each["$ref"].rpartition("/")[2] for each in found if "$ref" in each), None)
