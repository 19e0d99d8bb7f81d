"""The OpenAPI 3.1 description of a stage, derived from the declarations of its operations."""

from __future__ import annotations

from typing import Any

from soundstage import __version__
from soundstage.core.errors import ERRORS, NotFound, SoundstageError
from soundstage.core.feed import CURSOR_MAX_CHARS
from soundstage.core.limits import IDEMPOTENCY_KEY_MAX_CHARS, REQUEST_ID_MAX_CHARS
from soundstage.core.operation import Operation
from soundstage.core.scalars import DURATION_PATTERN
from soundstage.core.streaming import StreamOperation
from soundstage.runtime.parts import UNRECORDED
from soundstage.runtime.stage import Stage
from soundstage.surface.described_files import FILES_TAG, file_paths, file_schema
from soundstage.surface.described_streams import stream_methods
from soundstage.surface.examples import example_of, reply_example
from soundstage.surface.schemas import REF, Schema, Schemas

SERVICE_TAG = "service"

_COMMON = ("invalid_argument", "forbidden", "too_large", "exhausted", "internal", "unavailable", "deadline")
_OBJECT: Schema = {"type": "object"}
_PROBLEM: Schema = {"$ref": f"{REF}Problem"}
_TEXT: Schema = {"type": "string"}
_TIME_TO_WAIT: Schema = {"type": "string", "pattern": DURATION_PATTERN.replace("^", "^(?=.*[1-9])(?!.*[nu]s)", 1)}
"""Not all that is read, but all that makes sense: no network answers within microseconds."""
_VISIBLE_ASCII = "^[!-~]+$"
_ABOUT = (
    "Every operation takes one message and answers with one message or a problem (RFC 9457), as JSON or MessagePack. "
    "The schemas tell how messages look in JSON; in MessagePack bytes are `bin` and instants are integers. "
    "Request bodies may come as `Content-Encoding: gzip` or `zstd`, and replies do by `Accept-Encoding`."
)


def document(stage: Stage) -> dict[str, Any]:
    """The whole description, as plain values."""
    operations = [bound.operation for bound in stage.operations().values()]
    schemas = Schemas(operations)
    guarded = stage.config.auth.mode == "tokens"
    calls: dict[str, Schema] = {}
    for operation in operations:
        # An upload and a download may be at one address.
        calls[operation.path] = calls.get(operation.path, {}) | _methods(operation, schemas, guarded)
    tags = [{"name": name, "description": system.summary} for name, system in stage.systems.catalogue.items()]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Soundstage",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            *tags,
            {"name": FILES_TAG, "description": "Files that callers send and jobs leave"},
            {"name": SERVICE_TAG, "description": "What a stage tells of itself"},
        ],
        "paths": {**calls, **file_paths(guarded), **_service_paths(guarded)},
        "components": {
            "schemas": {
                **schemas.components,
                "Problem": _problem_schema(),
                "Readiness": _readiness_schema(),
                "SentFile": file_schema(),
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if guarded else [],
    }


def _methods(operation: Operation[..., Any], schemas: Schemas, guarded: bool) -> Schema:
    post = _post(operation, schemas, guarded)
    if isinstance(operation, StreamOperation):
        return stream_methods(operation, schemas, post, _problem)
    if operation.kind == "job":
        # What the job comes to, as jobs/result has it; the answer to this call is only its id.
        post["x-result"] = schemas.ref(operation.reply, "reply")
    if operation.kind != "feed":
        return {"post": post}
    reply = {"schema": schemas.ref(operation.reply, "reply")}
    # JSON Schema has no word for a stream of many: the schema is that of one line, or of one event.
    content = {"application/x-ndjson": reply, "text/event-stream": {"schema": _event_schema(reply["schema"])}}
    post["responses"]["200"] = {
        "description": "Messages for as long as the caller follows: one a line, or as server-sent events. "
        "A line with only `cursor` is a heartbeat, one with `problem` the last word of a feed that cannot go on.",
        "headers": _headers(200),
        "content": content,
    }
    post["parameters"] = [*post["parameters"], _LAST_EVENT_ID]
    get = {name: value for name, value in post.items() if name != "requestBody"}
    get["operationId"] += "_events"
    get["parameters"] = [*post["parameters"], *_query(operation, schemas)]
    return {"post": post, "get": get}


def _event_schema(message: Schema) -> Schema:
    return {
        "type": "object",
        "description": "A server-sent event.",
        "required": ["data"],
        "properties": {
            "id": {**_TEXT, "description": "The cursor to go on after."},
            "event": {**_TEXT, "description": "`problem` for the last word of a feed that cannot go on."},
            "data": {**_TEXT, "contentMediaType": "application/json", "contentSchema": {"anyOf": [message, _PROBLEM]}},
        },
    }


def _query(operation: Operation[..., Any], schemas: Schemas) -> list[Schema]:
    """The fields of a feed's request as a browser's `EventSource` sends them: those with simple values."""
    struct: Schema = schemas.components[schemas.ref(operation.request, "request")["$ref"].removeprefix(REF)]
    return [
        {"name": name, "in": "query", "required": name in struct.get("required", ()), "schema": schema}
        for name, schema in struct["properties"].items()
    ]


def _post(operation: Operation[..., Any], schemas: Schemas, guarded: bool) -> Schema:
    summary, _, description = operation.doc.partition("\n")
    request = {"schema": schemas.ref(operation.request, "request")}
    reply = {"schema": schemas.ref(operation.answer, "reply")}
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
                "headers": _headers(200),
                "content": {
                    "application/json": {**reply, "example": reply_example(operation)},
                    "application/msgpack": reply,
                },
            },
            **_problems(operation, guarded),
        },
    }


def _problems(operation: Operation[..., Any], guarded: bool) -> Schema:
    codes = [*_COMMON, *(("unauthenticated",) if guarded else ()), *(error.code for error in operation.errors)]
    if takes_key(operation) or operation.tokened:
        codes += ["token_reused", "in_progress"]
    texts: dict[int, list[str]] = {415: ["`invalid_argument`: the body is of a type or coding that is not read here"]}
    for code in dict.fromkeys(codes):
        texts.setdefault(ERRORS[code].status, []).append(f"`{code}`: {_first_line(ERRORS[code])}")
    return {str(status): _problem(status, "; ".join(texts[status])) for status in sorted(texts)}


def _problem(status: int, description: str) -> Schema:
    problem = {"schema": _PROBLEM}
    return {
        "description": description,
        "headers": _headers(status),
        "content": {"application/problem+json": problem, "application/msgpack": problem},
    }


def _headers(status: int) -> Schema:
    headers: Schema = {"X-Request-Id": {"description": "As sent, or made.", "schema": _TEXT}}
    if status in (409, 429, 503):
        headers["Retry-After"] = {
            "description": "Seconds to wait, rounded up, where known.",
            "schema": {"type": "integer", "minimum": 0},
        }
    if status == 401:
        headers["WWW-Authenticate"] = {"description": "What is wanted.", "schema": _TEXT}
    return headers


def _parameters(operation: Operation[..., Any]) -> list[Schema]:
    parameters = [
        _header("Soundstage-Timeout", "Deadline of the call, from its arrival.", _TIME_TO_WAIT, "250ms"),
        _header(
            "X-Request-Id",
            "Names the call in logs and errors; one is made where it is left out or malformed, that is not 1 to "
            f"{REQUEST_ID_MAX_CHARS} visible ASCII characters.",
            _TEXT,
            "checkout-42",
        ),
        _header(
            "traceparent",
            "W3C trace context; a malformed one is ignored.",
            _TEXT,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ]
    if takes_key(operation):
        parameters.append(
            _header(
                "Idempotency-Key",
                "The same key within 24 h is the same call.",
                {**_TEXT, "pattern": _VISIBLE_ASCII, "maxLength": IDEMPOTENCY_KEY_MAX_CHARS},
                "5f0c3f0e-6f6e-4b0e-9b63-1f8f5a0d7d11",
            )
        )
    return parameters


def takes_key(operation: Operation[..., Any]) -> bool:
    """Whether `Idempotency-Key` is for this operation: it changes something, and has no token of its own."""
    changes = operation.access != "read" and not operation.paged
    return changes and not operation.tokened and f"{operation.system}/{operation.name}" not in UNRECORDED


def _header(name: str, description: str, schema: Schema, example: str) -> Schema:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema,
        "example": example,
    }


_LAST_EVENT_ID = _header(
    "Last-Event-ID",
    "The cursor to go on after; goes before the request's own.",
    {**_TEXT, "maxLength": CURSOR_MAX_CHARS},
    "42",
)


def _service_paths(guarded: bool) -> Schema:
    ready = {"$ref": f"{REF}Readiness"}
    refused = {"401": _problem(401, _first_line(ERRORS["unauthenticated"]))} if guarded else {}
    return {
        "/health/live": _get(
            "live", "The process answers.", {"200": _answer("It does.", {"type": "object"})}, open=True
        ),
        "/health/ready": _get(
            "ready",
            "Whether calls are served, and else why not.",
            {"200": _answer("They are.", ready), "503": _answer("They are not.", ready)},
            open=True,
        ),
        "/metrics": _get(
            "metrics",
            "Metrics for Prometheus; needs the role `observe`.",
            {
                "200": {"description": "All metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}},
                **refused,
            },
        ),
        "/status.json": _get(
            "status",
            "What the console's first page shows.",
            {"200": _answer("The stage at this moment.", _OBJECT), **refused},
        ),
    }


def _get(name: str, summary: str, responses: Schema, *, open: bool = False) -> Schema:
    security: Schema = {"security": []} if open else {}
    described = {"operationId": f"{SERVICE_TAG}_{name}", "tags": [SERVICE_TAG], "summary": summary}
    return {"get": {**described, **security, "responses": responses}}


def _answer(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _readiness_schema() -> Schema:
    return {
        "type": "object",
        "title": "Readiness",
        "required": ["status", "reasons"],
        "properties": {
            "status": {"enum": ["ready", "not ready"]},
            "reasons": {"type": "array", "items": {"type": "string"}},
        },
    }


def _problem_schema() -> Schema:
    example = NotFound("there is no namespace 'profile'", field="namespace", hint="did you mean 'profiles'?")
    return {
        "type": "object",
        "title": "Problem",
        "description": "An error, as RFC 9457 has it.",
        "required": ["type", "title", "status", "detail", "code", "retryable", "request_id"],
        "properties": {
            "type": {"type": "string", "pattern": "^urn:soundstage:error:[a-z_]+$"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What is wrong."},
            "field": {"type": "string", "description": "Path of the offending field."},
            "code": {"type": "string", "enum": sorted(ERRORS)},
            "hint": {"type": "string", "description": "What to do."},
            "retryable": {"type": "boolean", "description": "Whether the same request may be sent again."},
            "retry_after_ms": {"type": "integer", "minimum": 0},
            "outcome": {"type": "string", "enum": ["unknown", "not_applied"], "description": "What became of a write."},
            "request_id": {"type": "string"},
        },
        "examples": [example.problem("3dbc0e5062f94470ac78c24999060736")],
    }


def _first_line(error: type[SoundstageError]) -> str:
    return (error.__doc__ or error.title).strip().partition("\n")[0]
