"""What schemathesis must be taught: MessagePack as this wire has it, and what every problem must say.

Schemas describe messages as JSON carries them. In MessagePack bytes are `bin` and instants of replies are integers,
so values are carried over along their schema.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import schemathesis
from schemathesis import GenerationMode

from soundstage.core.time import Instant

MSGPACK = "application/msgpack"
SHAPE = re.compile(r"expected `|is missing|is no known field|malformed|nests deeper")
"""What is said of a message that does not fit its schema."""

UNSAID = b"\xc1"
"""Sent for what MessagePack cannot say; no MessagePack begins with it."""

FREE = "namespace.config."
"""A map whose fields are those of the abstraction, which no schema of the surface knows."""

Leaf = Callable[[Any, dict[str, Any]], Any]


def carried(value: Any, schema: Any, root: dict[str, Any], leaf: Leaf) -> Any:
    """`value` with `leaf` applied to every part that has a schema of its own."""
    schema = followed(schema, root)
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        others = schema.get("additionalProperties", {})
        return {name: carried(each, fields.get(name, others), root, leaf) for name, each in value.items()}
    if isinstance(value, list):
        return [carried(each, schema.get("items", {}), root, leaf) for each in value]
    return leaf(value, schema)


def followed(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    """The schema itself: references and choices between one schema and null are followed, lists before messages."""
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        return followed(root["components"]["schemas"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        options = [followed(each, root) for each in schema["anyOf"] if each != {"type": "null"}]
        return {name: part for option in reversed(options) for name, part in option.items()}
    return schema


def into_msgpack(value: Any, schema: dict[str, Any]) -> Any:
    if isinstance(value, str) and schema.get("contentEncoding") == "base64":
        try:
            return b64decode(value, validate=True)
        except ValueError:
            return value
    # To JSON Schema 5.0 is an integer; MessagePack tells the two apart.
    return int(value) if schema.get("type") == "integer" and isinstance(value, float) and value.is_integer() else value


def out_of_msgpack(value: Any, schema: dict[str, Any]) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, int) and schema.get("format") == "date-time":
        return Instant(value).rfc3339()
    return value


@schemathesis.serializer(MSGPACK)
def serialize(ctx: schemathesis.SerializationContext, value: Any) -> Any:
    root = ctx.case.operation.schema.raw_schema
    body = root["paths"][ctx.case.operation.path]["post"]["requestBody"]["content"][MSGPACK]["schema"]
    try:
        return msgspec.msgpack.encode(carried(value, body, root, into_msgpack))
    except (OverflowError, UnicodeEncodeError, TypeError):
        # Not everything that JSON can say can be said in MessagePack; what cannot must be refused as well.
        return UNSAID


@schemathesis.deserializer(MSGPACK)
def deserialize(ctx: schemathesis.DeserializationContext, response: schemathesis.Response) -> Any:
    root = ctx.operation.schema.raw_schema
    described = root["paths"][ctx.operation.path]["post"]["responses"].get(str(response.status_code), {})
    body = described.get("content", {}).get(MSGPACK, {}).get("schema", {})
    return carried(msgspec.msgpack.decode(response.content), body, root, out_of_msgpack)


def decoded(response: schemathesis.Response) -> Any:
    packed = response.headers["content-type"][0] == MSGPACK
    return (msgspec.msgpack if packed else msgspec.json).decode(response.content)


@schemathesis.check
def problems_help(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Every refusal says what is wrong, what to do, and of which request, and shows nothing of the inside."""
    assert b"Traceback" not in response.content
    # What is answered to HEAD has no body to say it in.
    if response.status_code >= 400 and case.operation.path.startswith("/v1/") and case.method != "HEAD":
        problem = decoded(response)
        assert problem.get("detail"), problem
        assert problem.get("hint"), problem
        assert problem["status"] == response.status_code, problem
        assert problem["request_id"] == response.headers["x-request-id"][0], problem


@schemathesis.check
def schemas_are_the_door(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """What fits its schema may make no sense, but is never refused for its shape."""
    valid = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    said = response.request.body != UNSAID and case.method != "HEAD"
    if valid and said and response.status_code == 400:
        problem = decoded(response)
        assert str(problem.get("field")).startswith(FREE) or not SHAPE.search(problem["detail"]), problem
