"""The ASGI application: operations at `/v1/<system>/<operation>`, and pages for people and machines.

The way of a call is short on purpose: one look-up of its path, one pass over its headers, one decode, the
stage, one encode. Everything rare (compression, other methods, errors) is off that way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from soundstage.core.call import LOCAL, Call
from soundstage.core.codec import JSON, MSGPACK, ContentType, Decoder, decoder, encoder
from soundstage.core.errors import (
    Internal,
    InvalidArgument,
    NotFound,
    SoundstageError,
    TooLarge,
)
from soundstage.core.ids import request_id
from soundstage.core.names import nearest
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.dispatch import BoundOperation
from soundstage.runtime.stage import Stage
from soundstage.surface.http.compression import CODINGS, compress, decompress
from soundstage.surface.http.head import Head
from soundstage.surface.http.media import reply_format, request_format
from soundstage.surface.http.pages import Pages
from soundstage.surface.http.reply import Reply, WrongMethod, problem_reply

log = logging.getLogger("soundstage.surface.http")

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

_TYPE_HEADERS: dict[ContentType, tuple[bytes, bytes]] = {
    JSON: (b"content-type", b"application/json"),
    MSGPACK: (b"content-type", b"application/msgpack"),
}


class Disconnected(Exception):
    """The caller hung up before its request was whole."""


class Route:
    """One operation at its path, its decoders bound."""

    __slots__ = ("bound", "decoders")

    def __init__(self, bound: BoundOperation) -> None:
        self.bound = bound
        request = bound.operation.request
        self.decoders: dict[ContentType, Decoder[Any]] = {
            JSON: decoder(request, JSON),
            MSGPACK: decoder(request, MSGPACK),
        }


class Application:
    """What a `Server` serves of a stage. With `observe_only`: health and metrics alone, open to all."""

    def __init__(self, stage: Stage, config: HttpConfig, *, observe_only: bool = False) -> None:
        self._stage = stage
        self._environment = stage.environment
        self._max_body = int(config.max_body)
        self._observe_only = observe_only
        self._open = observe_only or stage.config.auth.mode == "none"
        operations = {} if observe_only else stage.operations()
        self._routes = {bound.operation.path: Route(bound) for bound in operations.values()}
        self._pages = Pages(stage, observe_only=observe_only)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        head = Head(scope["headers"])
        route = self._routes.get(scope["path"])
        given = head.own_request_id() or request_id(self._environment)
        try:
            if route is not None and scope["method"] == "POST":
                reply = await self._call(route, head, receive, given)
            else:
                reply = await self._other(scope, head)
        except Disconnected:
            return
        except SoundstageError as error:
            reply = problem_reply(error, _problem_format(head), given)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.error("a request failed by a defect", exc_info=error, extra={"request_id": given})
            reply = problem_reply(_defect(given), _problem_format(head), given)
        await _send(reply, given, head, send)

    async def _call(self, route: Route, head: Head, receive: Receive, given: str) -> Reply:
        principal = LOCAL if self._open else self._stage.authenticate(head.authorization_text())
        wire = request_format(head.content_type)
        body = await self._body(head, receive)
        request = route.decoders[wire].decode(body)
        call = Call(
            principal=principal,
            deadline_ns=head.deadline_ns(self._environment.monotonic_ns()),
            idempotency_key=head.key(),
            request_id=given,
            trace=head.trace_parent(),
        )
        message = await route.bound.run(call, request)
        out = reply_format(head.accept, wire)
        return Reply(200, [_TYPE_HEADERS[out]], encoder(out)(message))

    async def _body(self, head: Head, receive: Receive) -> bytes:
        limit = self._max_body
        if head.content_length.isdigit() and int(head.content_length) > limit:
            raise _body_too_large(limit)
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body") or message["type"] == "http.disconnect":
            body = await _rest(body, message, receive, limit)
        if len(body) > limit:
            raise _body_too_large(limit)
        coding = head.content_encoding.decode("latin-1").lower()
        if not coding or coding == "identity":
            return body
        if coding not in CODINGS:
            raise InvalidArgument(
                f"the content coding {coding[:40]!r} is not read here",
                field="Content-Encoding",
                hint="send gzip, zstd or none",
            )
        return decompress(body, coding, limit)

    async def _other(self, scope: Scope, head: Head) -> Reply:
        path, method = scope["path"], scope["method"]
        if path in self._routes:
            raise WrongMethod(method, "POST")
        page = self._pages.find(path)
        if page is None:
            raise self._not_found(path)
        if not (page.public or self._observe_only):
            refusal = self._pages.refusal(page, head)
            if refusal is not None:
                return refusal
        if method not in {"GET", "HEAD"}:
            raise WrongMethod(method, "GET, HEAD")
        return await page.show(scope["query_string"].decode("latin-1"))

    def _not_found(self, path: str) -> NotFound:
        close = nearest(path, [*self._routes, *self._pages.paths])
        hint = f"did you mean {close}?" if close else "see /docs for what there is"
        return NotFound(f"there is nothing at {path[:200]}", hint=hint)


async def _rest(body: bytes, message: dict[str, Any], receive: Receive, limit: int) -> bytes:
    parts, size = [body], len(body)
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected
        if not message.get("more_body"):
            return b"".join(parts)
        if size > limit:
            raise _body_too_large(limit)
        message = await receive()
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)


async def _send(reply: Reply, given: str, head: Head, send: Send) -> None:
    body, headers = reply.body, reply.headers
    if head.accept_encoding:
        body, coding = compress(body, head.accept_encoding)
        if coding is not None:
            headers = [*headers, (b"content-encoding", coding.encode()), (b"vary", b"accept-encoding")]
    headers = [*headers, (b"content-length", b"%d" % len(body)), (b"x-request-id", given.encode("latin-1"))]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _problem_format(head: Head) -> ContentType:
    """As asked for by `Accept`, else as the request's own; JSON when neither can be read."""
    try:
        own = request_format(head.content_type) if head.content_type else JSON
    except InvalidArgument:
        own = JSON
    return reply_format(head.accept, own)


def _body_too_large(limit: int) -> TooLarge:
    # The rest of the body is still on its way: the reply closes the connection rather than read it.
    return TooLarge(f"the body is over {limit} bytes", field="Content-Length", hint="split the request")


def _defect(given: str) -> Internal:
    return Internal("the request failed by a defect", hint=f"the log has the details under the request id {given}")
