"""Feeds over HTTP: newline-delimited JSON, or server-sent events for browsers.

|                  | `application/x-ndjson`                | `text/event-stream`                    |
| ---------------- | ------------------------------------- | -------------------------------------- |
| a message        | a line with the message               | `id:` its cursor, `data:` the message  |
| nothing happened | a line with only a cursor, every 15 s | `id:` alone, or a comment, every 15 s  |
| it cannot go on  | last line `{"problem": …}`            | last event `problem` with the problem  |

So is a reader told that takes nothing for `http.body_timeout`; it stands behind what was written before.

The first bytes are sent at once and hold the cursor from which the feed begins. A reader that is slow holds up
nobody: the next message is taken from the service once the last one was written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

import msgspec

from soundstage.core.codec import convert, json_encode
from soundstage.core.errors import Exhausted, InvalidArgument, SoundstageError
from soundstage.core.feed import CURSOR, CURSOR_MAX_CHARS, HEARTBEAT_S, Position
from soundstage.core.operation import Operation
from soundstage.surface.http.asgi import Receive, Send, disconnected, fields_of, send_part

log: logging.Logger = logging.getLogger("soundstage.surface.http")

NDJSON = b"application/x-ndjson"
EVENTS = b"text/event-stream"

_END = object()


class Form(Protocol):
    """How a feed is written."""

    media_type: bytes

    def message(self, message: Any) -> bytes: ...

    def position(self, cursor: str | None) -> bytes: ...

    def problem(self, problem: Mapping[str, Any]) -> bytes: ...


class Lines:
    """Newline-delimited JSON."""

    media_type = NDJSON

    def message(self, message: Any) -> bytes:
        return json_encode(message) + b"\n"

    def position(self, cursor: str | None) -> bytes:
        return b"\n" if cursor is None else json_encode({CURSOR: cursor}) + b"\n"

    def problem(self, problem: Mapping[str, Any]) -> bytes:
        return json_encode({"problem": dict(problem)}) + b"\n"


class Events:
    """Server-sent events, as the HTML standard has them."""

    media_type = EVENTS

    def message(self, message: Any) -> bytes:
        return b"id: %b\ndata: %b\n\n" % (getattr(message, CURSOR).encode(), json_encode(message))

    def position(self, cursor: str | None) -> bytes:
        # An event without data is not handed to a page, but its id is remembered for the next connection.
        return b": heartbeat\n\n" if cursor is None else b"id: %b\n\n" % cursor.encode()

    def problem(self, problem: Mapping[str, Any]) -> bytes:
        return b"event: problem\ndata: %b\n\n" % json_encode(dict(problem))


def form_for(accept: bytes) -> Form:
    """Server-sent events where `Accept` asks for them, else lines."""
    return Events() if EVENTS in accept.lower() else Lines()


def request_from_query(operation: Operation[..., Any], query: bytes) -> Any:
    """The request that a query string spells, for `EventSource`, which sends no body: fields with simple values.

    Raises `InvalidArgument` for what is no text, for a field given twice, and as a body would.
    """
    return convert(fields_of(query, "?name=value&other=value"), operation.request, from_text=True)


def resumed(request: Any, last_event_id: bytes) -> Any:
    """`request` going on after the header `Last-Event-ID`, which a browser sends when it connects again."""
    if not last_event_id:
        return request
    cursor = last_event_id.decode("latin-1")
    if len(cursor) > CURSOR_MAX_CHARS:
        raise InvalidArgument(
            "the cursor is too long", field="Last-Event-ID", hint="send the id of an event as it came"
        )
    return msgspec.structs.replace(request, cursor=cursor)


def _too_slow() -> Exhausted:
    """The last word for a reader that takes nothing."""
    return Exhausted(
        "nothing of the feed was taken for a long time",
        hint="follow on from the last cursor, and read faster",
        retry_after_ms=1_000,
    )


class FeedReply:
    """A feed that has begun: `first` has been taken from `messages`."""

    def __init__(self, first: Any, messages: AsyncGenerator[Any], form: Form) -> None:
        self._upcoming: asyncio.Future[Any] | None = None
        self._ended: asyncio.Future[SoundstageError] = asyncio.get_running_loop().create_future()
        self._first = first
        self._messages = messages
        self._form = form
        self._cursor: str | None = None

    @classmethod
    async def begun(cls, messages: AsyncGenerator[Any], form: Form) -> FeedReply:
        """The reply to a request that was good; raises what the service refuses, before anything is sent."""
        try:
            return cls(await anext(messages, _END), messages, form)
        except BaseException:
            await messages.aclose()
            raise

    def end(self, error: SoundstageError) -> None:
        """`error` is the feed's last word."""
        if not self._ended.done():
            self._ended.set_result(error)

    async def send(self, receive: Receive, send: Send, given: str) -> None:
        """Everything was written, until the feed ended or its reader was gone."""
        gone = asyncio.ensure_future(disconnected(receive))
        cut_off = self._form.problem(_too_slow().problem(given))
        headers = [
            (b"content-type", self._form.media_type),
            (b"cache-control", b"no-store"),
            (b"x-request-id", given.encode("ascii")),
        ]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers, "follows": cut_off})
            last = await self._written(send, gone, given)
            if not gone.done():
                await send({"type": "http.response.body", "body": last})
        finally:
            tasks = [task for task in (gone, self._upcoming) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._messages.aclose()

    async def _written(self, send: Send, gone: asyncio.Future[None], given: str) -> bytes:
        """Writes until the feed ends; returns its last bytes, or nothing for a reader who is gone."""
        try:
            if self._first is not _END:
                await self._write(send, self._first)
            while (message := await self._next(send, gone)) is not _END:
                await self._write(send, message)
        except SoundstageError as error:
            return self._form.problem(error.problem(given))
        return b""

    async def _next(self, send: Send, gone: asyncio.Future[None]) -> Any:
        """The next message; meanwhile a heartbeat now and then."""
        self._upcoming = asyncio.ensure_future(anext(self._messages, _END))
        while True:
            done, _ = await asyncio.wait(
                {self._upcoming, self._ended, gone}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if gone in done:
                return _END
            if self._ended in done:
                raise self._ended.result()
            if done:
                return self._upcoming.result()
            await send_part(send, self._form.position(self._cursor))

    async def _write(self, send: Send, message: Any) -> None:
        self._cursor = getattr(message, CURSOR, None)
        if type(message) is Position:
            await send_part(send, self._form.position(self._cursor))
        else:
            await send_part(send, self._form.message(message))
