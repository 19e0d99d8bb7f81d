"""Uploads and downloads in the OpenAPI description: fields in addresses, and bytes beside messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from soundstage.core.addresses import is_simple, queried
from soundstage.core.streaming import INFO, StreamOperation
from soundstage.surface.schemas import REF, Schema, Schemas

Problem: TypeAlias = Callable[[int, str], Schema]
"""The response of a status with what it means."""

_TEXT: Schema = {"type": "string"}
_BYTES: Schema = {"schema": {"type": "string", "format": "binary"}}
_ETAG: Schema = {"ETag": {"description": "Names what is there; no two states have the same.", "schema": _TEXT}}


def stream_methods(
    operation: StreamOperation[..., Any], schemas: Schemas, post: Schema, problem: Problem
) -> dict[str, Schema]:
    """The methods of an upload, or of a download; `post` is what would be said of a call."""
    common = {name: value for name, value in post.items() if name not in ("requestBody", "responses", "parameters")}
    # What the address spells is this message.
    common["x-request"] = schemas.ref(operation.request, "request")
    parameters = [*_placed(operation, schemas), *_queried(operation, schemas), *post["parameters"]]
    responses: Schema = post["responses"]
    if operation.kind == "upload":
        return {"put": _put(operation, {**common, "parameters": parameters}, responses, problem)}
    get = _get(operation, schemas, {**common, "parameters": parameters}, responses, problem)
    responses = {status: each for status, each in get["responses"].items() if status not in ("206", "416")}
    responses["200"] = {name: each for name, each in responses["200"].items() if name != "content"}
    return {"get": get, "head": {**get, "operationId": f"{get['operationId']}_head", "responses": responses}}


def _put(operation: StreamOperation[..., Any], common: Schema, responses: Schema, problem: Problem) -> Schema:
    done = responses["200"]
    tags = [] if operation.matching is None else [_header(*each) for each in _CONDITIONS]
    return {
        **common,
        "parameters": [*common["parameters"], *tags],
        "requestBody": {
            "description": "The bytes, with `Content-Length` or in chunks.",
            "content": {"application/octet-stream": _BYTES},
        },
        "responses": {
            **responses,
            "200": {**done, "headers": {**done["headers"], **(_ETAG if operation.tag else {})}},
            "408": problem(408, "`invalid_argument`: the body did not come on"),
            "415": problem(415, "`invalid_argument`: a content coding, which is not undone"),
        },
    }


def _get(
    operation: StreamOperation[..., Any], schemas: Schemas, common: Schema, responses: Schema, problem: Problem
) -> Schema:
    info = {
        "description": "What is known of the whole, in JSON.",
        "content": {"application/json": {"schema": schemas.ref(operation.reply, "reply")}},
    }
    headers = {**responses["200"]["headers"], **_ETAG, INFO.decode().title(): info}
    found: Schema = {"headers": headers, "content": {"application/octet-stream": _BYTES}}
    return {
        **common,
        "parameters": [*common["parameters"], *(_header(*each) for each in _READING)],
        "responses": {
            **{status: each for status, each in responses.items() if status != "415"},
            "200": {"description": "All of it.", **found},
            "206": {"description": "The range.", **found},
            "304": {"description": "It is what `If-None-Match` names.", "headers": _ETAG},
            "412": problem(412, "`precondition_failed`: it is not what `If-Match` names"),
            "416": problem(416, "`invalid_argument`: there is no such range"),
        },
    }


def _placed(operation: StreamOperation[..., Any], schemas: Schemas) -> list[Schema]:
    properties = _properties(operation, schemas)
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": properties[name].get("description", ""),
            # Bytes are percent-encoded as they are, and not as base64.
            "schema": {"type": "string", "minLength": 1},
            "example": name,
        }
        for name in operation.placed
    ]


def _queried(operation: StreamOperation[..., Any], schemas: Schemas) -> list[Schema]:
    properties = _properties(operation, schemas)
    found: list[Schema] = []
    for field in queried(operation):
        schema = properties[field.encode_name]
        said = {"schema": schema} if is_simple(field) else {"content": {"application/json": {"schema": schema}}}
        found.append({"name": field.encode_name, "in": "query", "required": field.required, **said})
    return found


def _properties(operation: StreamOperation[..., Any], schemas: Schemas) -> dict[str, Schema]:
    name = schemas.ref(operation.request, "request")["$ref"].removeprefix(REF)
    return schemas.components[name]["properties"]


def _header(name: str, description: str, example: str) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": _TEXT, "example": example}


_CONDITIONS = (
    ("If-Match", "It is written only if what is there has this `ETag`.", '"1795754829974894.b5e9c1ad071b3e7f.t"'),
    ("If-None-Match", "`*`: it is written only where nothing is.", "*"),
)
_READING = (
    ("Range", "One range of bytes; others are let be.", "bytes=0-1023"),
    ("If-Range", "The range is of this `ETag`, else all is sent.", '"1795754829974894.b5e9c1ad071b3e7f.t"'),
    ("If-Match", "It is read only if it has this `ETag`.", '"1795754829974894.b5e9c1ad071b3e7f.t"'),
    ("If-None-Match", "Nothing is sent of what is known.", '"1795754829974894.b5e9c1ad071b3e7f.t"'),
)
