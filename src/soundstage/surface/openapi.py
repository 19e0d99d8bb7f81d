"""The OpenAPI 3.1 description of a stage, derived from the declarations of its operations."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from soundstage.core.errors import ERRORS, SoundstageError
from soundstage.core.operation import Operation
from soundstage.core.scalars import scalar_schema
from soundstage.runtime.stage import Stage
from soundstage.surface.examples import example_of

_REF = "#/components/schemas/{name}"
_COMMON = ("invalid_argument", "too_large", "exhausted", "internal", "unavailable", "deadline")
_GUARDED = ("unauthenticated", "forbidden")


def document(stage: Stage) -> dict[str, Any]:
    """The whole description, as plain values."""
    operations = [bound.operation for bound in stage.operations().values()]
    catalogue = stage.systems.catalogue
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Soundstage",
            "version": _version(),
            "description": "Every operation takes one message and answers with one message or a problem.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": system.summary} for name, system in catalogue.items()],
        "paths": {operation.path: {"post": _post(operation, stage)} for operation in operations},
        "components": {
            "schemas": schemas(operations),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if stage.config.auth.mode == "tokens" else [],
    }


def schemas(operations: list[Operation[..., Any]]) -> dict[str, Any]:
    """The schemas of all messages by name. Those of requests allow no other fields, as the door does."""
    requests = [operation.request for operation in operations]
    _, strict = msgspec.json.schema_components(requests, schema_hook=scalar_schema, ref_template=_REF)
    replies = [operation.reply for operation in operations]
    _, loose = msgspec.json.schema_components(replies, schema_hook=scalar_schema, ref_template=_REF)
    for schema in strict.values():
        if schema.get("type") == "object" and "properties" in schema:
            schema["additionalProperties"] = False
    for operation in operations:
        if operation.namespaced:
            _require_namespace(strict[operation.request.__name__])
    return {**loose, **strict, "Problem": _problem_schema()}


def _require_namespace(schema: dict[str, Any]) -> None:
    """Clients in process are bound to a namespace; over the wire it is named."""
    name = schema["properties"]["namespace"]
    if name.pop("default", None) is not None:
        name["minLength"] = 1
        schema["required"] = ["namespace", *schema.get("required", [])]


def _post(operation: Operation[..., Any], stage: Stage) -> dict[str, Any]:
    summary, _, description = operation.doc.partition("\n")
    request = {"schema": {"$ref": _REF.format(name=operation.request.__name__)}}
    reply = {"schema": {"$ref": _REF.format(name=operation.reply.__name__)}}
    return {
        "operationId": f"{operation.system}_{operation.name}",
        "tags": [operation.system],
        "summary": summary,
        "description": description.strip() or summary,
        "x-access": operation.access,
        "x-idempotent": operation.idempotent,
        "parameters": _parameters(operation),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {**request, "example": example_of(operation)},
                "application/msgpack": request,
            },
        },
        "responses": {
            "200": {
                "description": "Done.",
                "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
                "content": {"application/json": reply, "application/msgpack": reply},
            },
            **_problems(operation, guarded=stage.config.auth.mode == "tokens"),
        },
    }


def _problems(operation: Operation[..., Any], *, guarded: bool) -> dict[str, Any]:
    codes = [*_COMMON, *(_GUARDED if guarded else ()), *(error.code for error in operation.errors)]
    if operation.access != "read":
        codes += ["token_reused", "in_progress"]
    by_status: dict[int, list[type[SoundstageError]]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(ERRORS[code].status, []).append(ERRORS[code])
    problem = {"schema": {"$ref": _REF.format(name="Problem")}}
    described = {
        str(status): {
            "description": "; ".join(f"`{error.code}`: {_first_line(error)}" for error in errors),
            "content": {"application/problem+json": problem, "application/msgpack": problem},
        }
        for status, errors in sorted(by_status.items())
    }
    described["415"] = {
        "description": "`invalid_argument`: the content type is neither JSON nor MessagePack.",
        "content": {"application/problem+json": problem, "application/msgpack": problem},
    }
    return described


def _parameters(operation: Operation[..., Any]) -> list[dict[str, Any]]:
    parameters = [
        _header("Soundstage-Timeout", "Deadline of the call, from its arrival.", "250ms"),
        _header("X-Request-Id", "Names the call in logs and errors; made where it is left out.", "checkout-42"),
        _header("traceparent", "W3C trace context.", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ]
    if operation.access != "read" and not operation.tokened:
        parameters.append(_header("Idempotency-Key", "The same key within 24 h is the same call.", "a-uuid"))
    return parameters


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "title": "Problem",
        "description": "An error, as RFC 9457 has it.",
        "required": ["type", "title", "status", "detail", "code", "retryable", "request_id"],
        "properties": {
            "type": {"type": "string", "examples": ["urn:soundstage:error:not_found"]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong."},
            "field": {"type": "string", "description": "Path of the offending field."},
            "code": {"type": "string", "enum": sorted(ERRORS)},
            "hint": {"type": "string", "description": "What to do."},
            "retryable": {"type": "boolean"},
            "retry_after_ms": {"type": "integer"},
            "outcome": {"type": "string", "enum": ["unknown", "not_applied"]},
            "request_id": {"type": "string"},
        },
    }


def _first_line(error: type[SoundstageError]) -> str:
    return (error.__doc__ or error.title).strip().partition("\n")[0]


def _version() -> str:
    try:
        return version("soundstage")
    except PackageNotFoundError:
        return "0"
