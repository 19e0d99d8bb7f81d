"""The ASGI application: operations at `/v1/<system>/<operation>`, and pages for people and machines.

The way of a call is short on purpose: one look-up of its path, one pass over its headers, one decode, the
stage, one encode. Everything rare (compression, other methods, errors) is off that way.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from soundstage.core.attunement import SIGNALS_HEADER
from soundstage.core.call import LOCAL, NOBODY, Call, Principal
from soundstage.core.codec import JSON, MSGPACK, ContentType, Decoder, decoder, encoder
from soundstage.core.errors import (
    Forbidden,
    Internal,
    NotFound,
    SoundstageError,
    Unauthenticated,
)
from soundstage.core.ids import request_id
from soundstage.core.names import nearest
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.dispatch import BoundOperation
from soundstage.runtime.doors import OpenDoor
from soundstage.runtime.following import BoundFeed
from soundstage.runtime.stage import Stage
from soundstage.runtime.streaming import BoundDownload, BoundUpload
from soundstage.surface.http.asgi import Receive, Scope, Send
from soundstage.surface.http.body import SMALL_BYTES, Bodies, Disconnected
from soundstage.surface.http.compression import COMPRESS_FROM_BYTES
from soundstage.surface.http.feed import FeedReply, form_for, request_from_query, resumed
from soundstage.surface.http.files import FileRoutes, is_file_path
from soundstage.surface.http.head import Head
from soundstage.surface.http.media import reply_format, request_format
from soundstage.surface.http.mount import MountedRequest
from soundstage.surface.http.pages import Pages
from soundstage.surface.http.reply import (
    Reply,
    WrongMethod,
    closed,
    compressed,
    problem_format,
    problem_reply,
    send_reply,
)
from soundstage.surface.http.shortcut import PlainCall, is_plain
from soundstage.surface.http.streams import StreamRoute, StreamRoutes
from soundstage.surface.http.transfer import StreamReply, expect_stream, refusal

log: logging.Logger = logging.getLogger("soundstage.surface.http")

PATH_SHOWN_CHARS = 200

_SIGNALS = SIGNALS_HEADER.encode()

_TYPE_HEADERS: dict[ContentType, tuple[bytes, bytes]] = {
    JSON: (b"content-type", b"application/json"),
    MSGPACK: (b"content-type", b"application/msgpack"),
}


def _told(bound: BoundOperation, out: ContentType, request: Any) -> list[tuple[bytes, bytes]]:
    """The headers of a reply: its type, and the version of what the namespace tells its clients."""
    headers = [_TYPE_HEADERS[out]]
    if bound.signals is not None and (version := bound.signals(request.namespace)):
        headers.append((_SIGNALS, version.encode()))
    return headers


class Route:
    """One operation at its path, its decoders bound."""

    __slots__ = ("bound", "decoders")

    def __init__(self, bound: BoundOperation) -> None:
        self.bound: BoundOperation = bound
        request = bound.operation.request
        self.decoders: dict[ContentType, Decoder[Any]] = {
            JSON: decoder(request, JSON),
            MSGPACK: decoder(request, MSGPACK),
        }

    def decode(self, body: bytes, call: Call, wire: ContentType) -> Any:
        """The message in `body`; what is none is counted as a call that failed."""
        try:
            return self.decoders[wire].decode(body)
        except SoundstageError as error:
            self.bound.refused(error, call)
            raise


class Application:
    """What a `Server` serves of a stage. With `observe_only`: health and metrics alone, open to all.

    While `closed` says why, calls are refused with it and the stage is not ready; pages are shown.
    """

    def __init__(self, stage: Stage, config: HttpConfig, *, observe_only: bool = False) -> None:
        self.closed: str | None = None
        self._feeds: set[FeedReply] = set()
        self._stage = stage
        self._environment = stage.environment
        self._bodies = Bodies(config)
        self._traced = stage.config.telemetry.traces
        self._open = observe_only or stage.config.auth.mode == "none"
        # Without authentication the address is all that keeps strangers out, and a browser is inside.
        self._served = None if observe_only or config.insecure or not self._open else config.host
        operations = {} if observe_only else stage.operations()
        self._streams = StreamRoutes(operations.values())
        calls = [bound for bound in operations.values() if not isinstance(bound, (BoundUpload, BoundDownload))]
        self._routes = {bound.operation.path: Route(bound) for bound in calls}
        self._files = None if observe_only else FileRoutes(stage.files, stage.environment)
        self._pages = Pages(stage, self._not_ready, observe_only=observe_only)
        self._mounts = not observe_only

    def close(self, reason: str) -> None:
        """Calls are refused with `reason`, and those who follow feeds get it as their last word."""
        self.closed = reason
        for feed in list(self._feeds):
            feed.end(closed(reason))

    def plain(self, scope: Scope) -> PlainCall | None:
        """What every request whose head is that of `scope` is, but for its body; None for what is no plain call."""
        route, headers = self._routes.get(scope["path"]), scope["headers"]
        if route is None or isinstance(route.bound, BoundFeed) or scope["method"] != "POST":
            return None
        if not is_plain(scope["http_version"], headers):
            return None
        head = Head(headers)
        if not head.content_length.isdigit():
            return None
        size = int(head.content_length)
        try:
            wire = request_format(head.content_type)
        except SoundstageError:
            return None
        if size > SMALL_BYTES:
            return None
        out = reply_format(head.accept, wire) if head.accept else wire
        # A deadline cancels the task it was set in.
        prompt = route.bound.operation.prompt and head.timeout is None
        return PlainCall(route.bound, partial(route.decode, wire=wire), head, out, size, prompt)

    async def answer(self, asked: PlainCall, body: bytes, given: str) -> Reply:
        """The reply to a plain call. Whatever fails is answered as a problem."""
        head, call = asked.head, None
        try:
            try:
                call = self._begin(head, given)
            except SoundstageError as error:
                asked.bound.refused(error, self._stranger(head, given))
                raise
            request = asked.decode(body, call)
            out = encoder(asked.out)(await asked.bound.run(call, request))
        except SoundstageError as error:
            reply = problem_reply(error, problem_format(head), given)
        except Exception as error:
            log.error("a request failed by a defect", exc_info=error, extra={"request_id": given})
            reply = problem_reply(_defect(given), problem_format(head), given)
        else:
            reply = Reply(200, _told(asked.bound, asked.out, request), out)
        if head.accept_encoding and len(reply.body) >= COMPRESS_FROM_BYTES:
            return await compressed(reply, head.accept_encoding)
        return reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Whatever fails is answered as a problem."""
        if scope["type"] != "http":
            return
        head = Head(scope["headers"])
        route = self._routes.get(scope["path"])
        given = head.own_request_id() or request_id(self._environment)
        try:
            if self._served is not None and head.origin:
                self._check_name(head, self._served)
            if route is not None and isinstance(route.bound, BoundFeed) and scope["method"] in {"GET", "POST"}:
                reply = await self._follow(route, route.bound, scope, head, receive, given)
            elif route is not None and scope["method"] == "POST":
                reply = await self._call(route, head, receive, given)
            elif self._files is not None and is_file_path(scope["path"]):
                reply = await self._file(self._files, scope, head, receive, given)
            elif route is None and (stream := self._streams.find(scope["path"])) is not None:
                reply = await self._stream(stream, scope, head, receive, given)
            elif self._mounts and route is None and (door := self._stage.doors.mounted(scope["path"])) is not None:
                if (reply := await self._pass_on(door, scope, head, receive, send, given)) is None:
                    return
            else:
                reply = await self._other(scope, head)
        except Disconnected:
            return
        except SoundstageError as error:
            reply = problem_reply(error, problem_format(head), given)
        except Exception as error:
            log.error("a request failed by a defect", exc_info=error, extra={"request_id": given})
            reply = problem_reply(_defect(given), problem_format(head), given)
        if isinstance(reply, FeedReply):
            self._feeds.add(reply)
            try:
                await reply.send(receive, send, given)
            finally:
                self._feeds.discard(reply)
        elif isinstance(reply, StreamReply):
            await reply.send(receive, send, given)
        else:
            await send_reply(reply, given, scope, head, send)

    async def _follow(
        self, route: Route, feed: BoundFeed, scope: Scope, head: Head, receive: Receive, given: str
    ) -> FeedReply:
        if scope["method"] == "GET":
            call, request = self._asked(feed, scope, head, given)
        else:
            call, wire, body = await self._read(route, head, receive, given)
            request = route.decode(body, call, wire)
        try:
            request = resumed(request, head.last_event_id)
        except SoundstageError as error:
            feed.refused(error, call)
            raise
        return await FeedReply.begun(feed.follow(call, request), form_for(head.accept))

    def _asked(self, feed: BoundFeed, scope: Scope, head: Head, given: str) -> tuple[Call, Any]:
        """The call and message of a feed that is asked for by its address; who is refused is counted."""
        call: Call | None = None
        try:
            call = self._begin(head, given)
            if self._served is not None:
                self._check_name(head, self._served)
            return call, request_from_query(feed.operation, scope["query_string"])
        except SoundstageError as error:
            feed.refused(error, call or self._stranger(head, given))
            raise

    async def _file(
        self, files: FileRoutes, scope: Scope, head: Head, receive: Receive, given: str
    ) -> Reply | StreamReply:
        expect_stream(scope)
        try:
            call = self._let_in(head, given)
        except SoundstageError as error:
            return refusal(error, head, given, unread=scope["method"] in {"POST", "PUT"})
        return await files.answer(scope, head, receive, call)

    async def _stream(
        self, route: StreamRoute, scope: Scope, head: Head, receive: Receive, given: str
    ) -> Reply | StreamReply:
        expect_stream(scope)
        try:
            call = self._let_in(head, given)
        except SoundstageError as error:
            for bound in filter(None, (route.upload if scope["method"] == "PUT" else route.download,)):
                bound.refused(error, self._stranger(head, given))
            return refusal(error, head, given, unread=scope["method"] in {"POST", "PUT"})
        return await self._streams.answer(route, scope, head, receive, call)

    def _let_in(self, head: Head, given: str) -> Call:
        """The call of a request that browsers can send of themselves. Raises as `_begin`, and `Forbidden`."""
        call = self._begin(head, given)
        if self._served is not None:
            self._check_name(head, self._served)
        return call

    def _begin(self, head: Head, given: str) -> Call:
        """The call that the headers make. Raises `Unauthenticated`, `Unavailable`, `InvalidArgument`."""
        arrived_ns = self._environment.now_ns() if self._traced else 0
        principal = LOCAL if self._open else self._stage.authenticate(head.authorization_text())
        if self.closed is not None:
            raise closed(self.closed)
        return Call(
            principal=principal,
            deadline_ns=head.deadline_ns(self._environment.monotonic_ns()) if head.timeout is not None else None,
            idempotency_key=head.key() if head.idempotency_key is not None else None,
            request_id=given,
            trace=head.trace_parent() if head.trace else None,
            arrived_ns=arrived_ns,
        )

    async def _call(self, route: Route, head: Head, receive: Receive, given: str) -> Reply:
        call, wire, body = await self._read(route, head, receive, given)
        if len(body) <= SMALL_BYTES:
            request = route.decode(body, call, wire)
            message = await route.bound.run(call, request)
        else:
            with self._bodies.holding(len(body)):
                request = route.decode(body, call, wire)
                message = await route.bound.run(call, request)
        out = reply_format(head.accept, wire) if head.accept else wire
        return Reply(200, _told(route.bound, out, request), encoder(out)(message))

    async def _read(self, route: Route, head: Head, receive: Receive, given: str) -> tuple[Call, ContentType, bytes]:
        """The call, the format and bytes of its message; whoever is refused is counted as a call that failed."""
        call: Call | None = None
        try:
            call = self._begin(head, given)
            return call, request_format(head.content_type), await self._bodies.read(head, receive)
        except SoundstageError as error:
            route.bound.refused(error, call or self._stranger(head, given))
            raise

    def _stranger(self, head: Head, given: str) -> Call:
        """The call of whoever was not let in."""
        return Call(principal=NOBODY, request_id=given, trace=head.trace_parent())

    async def _pass_on(
        self, door: OpenDoor, scope: Scope, head: Head, receive: Receive, send: Send, given: str
    ) -> Reply | None:
        """None, when the door answered; else the problem that kept it from doing so."""
        if self._served is not None:
            self._check_name(head, self._served)
        passed = MountedRequest(door, given)
        try:
            if self.closed is not None:
                raise closed(self.closed)
            await passed.answer(scope, head, receive, send)
        except SoundstageError as error:
            passed.failed(error)
            failure = error
        except Exception as error:
            log.error("a door failed by a defect", exc_info=error, extra={"request_id": given, "door": door.name})
            failure = _defect(given)
            passed.failed(failure)
        else:
            return None
        if passed.started:
            # Half an answer cannot be followed by another: what was left unfinished is cut off by the connection.
            return None
        return problem_reply(failure, problem_format(head), given)

    async def _other(self, scope: Scope, head: Head) -> Reply:
        path, method = scope["path"], scope["method"]
        page = self._pages.find(path)
        if self._served is not None and not (page is not None and page.public):
            self._check_name(head, self._served)
        principal: Principal = LOCAL
        if not (self._open or (page is not None and page.public)):
            try:
                principal = self._pages.admit(page, head)
            except Unauthenticated:
                if page is not None and page.html and not head.authorization and b"text/html" in head.accept:
                    return self._pages.login()
                raise
        if path in self._routes:
            raise WrongMethod(method, "GET, POST" if isinstance(self._routes[path].bound, BoundFeed) else "POST")
        if page is None:
            raise self._not_found(path)
        if method not in {"GET", "HEAD"}:
            raise WrongMethod(method, "GET, HEAD")
        return await page.show(principal)

    def _not_found(self, path: str) -> NotFound:
        path = path[:PATH_SHOWN_CHARS]
        close = self._operation_like(path) or nearest(path, self._pages.paths)
        hint = f"did you mean {close}?" if close else "see /docs for what there is"
        return NotFound(f"there is nothing at {path}", hint=hint)

    def _operation_like(self, path: str) -> str | None:
        """The path of the operation that `path` was probably meant to be: its system first, which is quicker."""
        system, _, name = path.strip("/").rpartition("/")
        names: dict[str, list[str]] = {}
        for route in self._routes.values():
            names.setdefault(route.bound.operation.system, []).append(route.bound.operation.name)
        near = nearest(system.rpartition("/")[2], names)
        close = nearest(name, names[near]) if near else None
        return f"/v1/{near}/{close}" if close else None

    def _not_ready(self) -> list[str]:
        return [] if self.closed is None else [self.closed]

    @staticmethod
    def _check_name(head: Head, served: str) -> None:
        if head.names_elsewhere(served):
            raise Forbidden(
                "this stage has no authentication, so that it serves no pages of other sites",
                hint="call it as localhost; to serve it under another name configure tokens, or pass --insecure",
            )


def _defect(given: str) -> Internal:
    return Internal("the request failed by a defect", hint=f"the log has the details under the request id {given}")
