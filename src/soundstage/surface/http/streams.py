"""Uploads and downloads at the addresses of their operations: `PUT`, and `GET` and `HEAD`.

A range, and conditions by tags, are those of HTTP; what a reply says of the bytes is its header `Soundstage-Info`, a
message in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AsyncExitStack, aclosing
from typing import Any

from soundstage.core.addresses import request_at
from soundstage.core.call import Call
from soundstage.core.codec import encoder, json_encode
from soundstage.core.errors import PreconditionFailed, SoundstageError
from soundstage.core.streaming import INFO, Body, Content, StreamOperation
from soundstage.runtime.dispatch import BoundOperation
from soundstage.runtime.streaming import BoundDownload, BoundUpload
from soundstage.surface.http.asgi import Receive, Scope
from soundstage.surface.http.head import Head
from soundstage.surface.http.reply import Reply, WrongMethod
from soundstage.surface.http.transfer import (
    PRIVATE,
    Headers,
    RequestBody,
    StreamReply,
    announced_size,
    answered,
    check_coding,
    is_known,
    stream_reply,
    tags_in,
    wire_of,
)


class StreamRoute:
    """What is at the addresses that begin alike: an upload, a download, or both."""

    def __init__(self, prefix: str) -> None:
        self.prefix: str = prefix
        self.upload: BoundUpload | None = None
        self.download: BoundDownload | None = None

    def bound(self, method: str) -> BoundUpload | BoundDownload:
        """The operation of a method. Raises `WrongMethod`."""
        found = self.upload if method == "PUT" else self.download if method in {"GET", "HEAD"} else None
        if found is not None:
            return found
        allowed = [*(["PUT"] if self.upload else []), *(["GET", "HEAD"] if self.download else [])]
        raise WrongMethod(method, ", ".join(allowed))


class StreamRoutes:
    """Answers requests of uploads and downloads."""

    def __init__(self, operations: Iterable[BoundOperation]) -> None:
        self._routes: dict[str, StreamRoute] = {}
        for bound in operations:
            if isinstance(bound, (BoundUpload, BoundDownload)):
                prefix = _operation(bound).prefix
                route = self._routes.setdefault(prefix, StreamRoute(prefix))
                if isinstance(bound, BoundUpload):
                    route.upload = bound
                else:
                    route.download = bound

    def find(self, path: str) -> StreamRoute | None:
        """What is at an address, if that is any of these."""
        # All of them begin with /v1/<system>/<word>/.
        prefix = "/".join(path.split("/", 4)[:4]) + "/"
        return self._routes.get(prefix)

    async def answer(
        self, route: StreamRoute, scope: Scope, head: Head, receive: Receive, call: Call
    ) -> Reply | StreamReply:
        """The reply to one request of `call.principal`, refusals included."""

        async def answer(body: RequestBody) -> Reply | StreamReply:
            bound = route.bound(scope["method"])
            request = self._request(bound, scope, head, call)
            if isinstance(bound, BoundUpload):
                return await _receive(bound, request, head, body, call)
            return await _read(bound, request, head, call, scope["method"])

        return await answered(scope, receive, head, call, answer)

    def _request(self, bound: BoundUpload | BoundDownload, scope: Scope, head: Head, call: Call) -> Any:
        operation = _operation(bound)
        try:
            request = request_at(operation, scope.get("raw_path") or scope["path"].encode(), scope["query_string"])
            if isinstance(bound, BoundUpload):
                check_coding(head)
            if operation.matching is None:
                return request
            wanted = tags_in(head.if_match) if head.if_match else None
            if wanted == []:
                raise PreconditionFailed(
                    "no bytes match a weak tag", field="If-Match", hint="send the `ETag` as it came"
                )
            unwanted = tags_in(head.if_none_match, weak=True) if head.if_none_match else None
            return operation.matching(request, wanted, unwanted)
        except SoundstageError as error:
            bound.refused(error, call)
            raise


async def _receive(bound: BoundUpload, request: Any, head: Head, body: RequestBody, call: Call) -> Reply:
    async with aclosing(body.parts()) as parts:
        reply = await bound.upload(call, request, Body(parts, announced_size(head)))
    wire, tag = wire_of(head), _operation(bound).tag
    headers = [(b"content-type", wire.encode())]
    if tag is not None:
        headers.append(_etag(tag(reply)))
    if not body.whole:
        # What was answered before its end is of no use any more.
        headers.append((b"connection", b"close"))
    return Reply(200, headers, encoder(wire)(reply))


async def _read(bound: BoundDownload, request: Any, head: Head, call: Call, method: str) -> Reply | StreamReply:
    async with AsyncExitStack() as opened:
        content: Content[Any] = await opened.enter_async_context(bound.open(call, request))
        operation = _operation(bound)
        tag = "" if operation.tag is None else operation.tag(content.info)
        if head.if_match and not {tag, "*"} & set(tags_in(head.if_match)):
            raise PreconditionFailed("it is another one by now", field="If-Match", hint="read it from its beginning")
        if tag and head.if_none_match and is_known(head, tag):
            return Reply(304, [_etag(tag), *PRIVATE], b"")
        headers = [*([_etag(tag)] if tag else []), (INFO, _told(content.info)), *_BYTES]
        reply = await stream_reply(head, headers, content.size, tag, content.read, method=method)
        reply.held = opened.pop_all()
        return reply


def _told(info: Any) -> bytes:
    return json.dumps(json.loads(json_encode(info)), separators=(",", ":")).encode("ascii")


def _etag(tag: str) -> tuple[bytes, bytes]:
    return b"etag", f'"{tag}"'.encode()


def _operation(bound: BoundUpload | BoundDownload) -> StreamOperation[..., Any]:
    operation = bound.operation
    assert isinstance(operation, StreamOperation)
    return operation


_BYTES: Headers = [(b"content-type", b"application/octet-stream"), (b"content-disposition", b"attachment")]
