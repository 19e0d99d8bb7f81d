"""Files in the OpenAPI description: the paths below `/v1/blobs`, which no operation declares."""

from __future__ import annotations

from soundstage.core.codec import JSON
from soundstage.core.errors import ERRORS
from soundstage.core.files import BLOB_PATTERN, PATH, File
from soundstage.core.plain import plain
from soundstage.core.scalars import DURATION_PATTERN
from soundstage.runtime.files import NAME_MAX_CHARS
from soundstage.surface.schemas import REF, Schema

FILES_TAG = "files"

_TEXT: Schema = {"type": "string"}
_BYTES: Schema = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_BLOB: Schema = {
    "name": "blob",
    "in": "path",
    "required": True,
    "description": "The id of the file, a UUID in small letters.",
    "schema": {"type": "string", "pattern": f"^{BLOB_PATTERN}$"},
    "example": "01a217f9-a4fd-7a4f-b236-aa33a9622cb6",
}
_SENDING = (401, 403, 408, 413, 415, 422, 429, 500, 503, 504)


def file_paths(guarded: bool) -> Schema:
    """The paths and their methods."""
    return {
        PATH: {"post": _sent("post", "Send a file; its id is made here.", guarded)},
        f"{PATH}/{{blob}}": {
            "put": _named(_sent("put", "Send a file under an id of your own.", guarded, 409)),
            "get": _named(_read("get", "The bytes of a file, or of one range of them.", guarded)),
            "head": _named(_read("head", "The same without the bytes.", guarded)),
            "delete": {
                **_about("delete", "The file is gone."),
                "parameters": [_BLOB],
                "responses": {
                    "204": {"description": "It is gone.", "headers": _REQUEST_ID},
                    **_problems(guarded, 400, 403, 404),
                },
            },
        },
    }


def file_schema() -> Schema:
    """The message that a file which was sent is answered with."""
    example = File(blob=_BLOB["example"], name="talk.mp4", media_type="video/mp4", size=1_048_576, sha256="9f" * 32)
    return {
        "type": "object",
        "title": "SentFile",
        "required": ["blob"],
        "properties": {
            "blob": _BLOB["schema"],
            "name": _TEXT,
            "media_type": _TEXT,
            "size": {"type": "integer", "minimum": 0},
            "sha256": _TEXT,
        },
        "examples": [plain(example)],
    }


def _sent(method: str, summary: str, guarded: bool, *statuses: int) -> Schema:
    name: Schema = {**_TEXT, "maxLength": NAME_MAX_CHARS, "pattern": r"^[^/\\\u0000-\u001f\u007f]*$"}
    return {
        **_about(method, summary),
        "description": "The body is the file, of any length up to `files.size_max`. "
        "`Content-Type` is kept with it; `Content-Digest: sha-256=:…:` is held against what comes.",
        "parameters": [
            _parameter("query", "name", "What the file is called, for people.", name, "talk.mp4"),
            _parameter("query", "ttl", "How long it is kept.", {**_TEXT, "pattern": DURATION_PATTERN}, "1d"),
            _parameter("header", "Content-Digest", "RFC 9530.", _TEXT, "sha-256=:" + "A" * 43 + "=:"),
        ],
        "requestBody": {"content": {"application/octet-stream": _BYTES["*/*"]}},
        "responses": {
            "201": {
                "description": "The file is kept, durably.",
                "headers": {**_REQUEST_ID, "Location": {"description": "Where it is.", "schema": _TEXT}},
                "content": {kind: {"schema": {"$ref": f"{REF}SentFile"}} for kind in (JSON, "application/msgpack")},
            },
            **_problems(guarded, 400, *statuses, *_SENDING),
        },
    }


def _read(method: str, summary: str, guarded: bool) -> Schema:
    body: Schema = {"content": _BYTES} if method == "get" else {}
    found: Schema = {"headers": {**_REQUEST_ID, **_DESCRIBED}, **body}
    some: Schema = {"206": {"description": "The range.", **found}} if method == "get" else {}
    return {
        **_about(method, summary),
        "parameters": [
            _parameter("header", "Range", "One range of bytes; others are let be.", _TEXT, "bytes=0-1023"),
            _parameter("header", "If-Range", "The range is of this `ETag`, else all is sent.", _TEXT, '"9f86d081"'),
            _parameter("header", "If-None-Match", "Nothing is sent of what is known.", _TEXT, '"9f86d081"'),
        ],
        "responses": {
            "200": {"description": "The whole file.", **found},
            **some,
            "304": {"description": "It is what `If-None-Match` names.", "headers": _REQUEST_ID},
            **_problems(guarded, 400, 403, 404, 416, 500, 503),
        },
    }


def _named(method: Schema) -> Schema:
    return {**method, "parameters": [_BLOB, *method["parameters"]]}


def _about(method: str, summary: str) -> Schema:
    return {"operationId": f"{FILES_TAG}_{method}", "tags": [FILES_TAG], "summary": summary}


def _parameter(place: str, name: str, description: str, schema: Schema, example: str) -> Schema:
    return {"name": name, "in": place, "description": description, "schema": schema, "example": example}


def _problems(guarded: bool, *statuses: int) -> Schema:
    return {str(status): _problem(status) for status in sorted({*statuses, 500, 503}) if guarded or status != 401} | (
        {"401": _problem(401)} if guarded else {}
    )


def _problem(status: int) -> Schema:
    problem = {"schema": {"$ref": f"{REF}Problem"}}
    return {
        "description": _MEANINGS.get(status, "It was refused."),
        "headers": _REQUEST_ID,
        "content": {"application/problem+json": problem, "application/msgpack": problem},
    }


_REQUEST_ID: Schema = {"X-Request-Id": {"description": "As sent, or made.", "schema": _TEXT}}
_DESCRIBED: Schema = {
    "ETag": {"description": "The SHA-256 of the whole file.", "schema": _TEXT},
    "Repr-Digest": {"description": "The same, as RFC 9530 writes it.", "schema": _TEXT},
    "Accept-Ranges": {"description": "`bytes`", "schema": _TEXT},
    "Content-Disposition": {"description": "An attachment, with the name of the file.", "schema": _TEXT},
}
_MEANINGS: dict[int, str] = {error.status: f"`{error.code}`" for error in ERRORS.values()} | {
    408: "The body did not come on.",
    415: "A content coding, which is not undone.",
    416: "The file has no such range.",
}
