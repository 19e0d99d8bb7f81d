"""Messages as bytes, and replies and problems as messages again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import httpx2
import msgspec

from soundstage.client.network import foreign_answer
from soundstage.client.settings import Settings
from soundstage.core.codec import JSON, MSGPACK, ContentType, decoder, request_encoder
from soundstage.core.errors import Internal, InvalidArgument, SoundstageError, TooLarge, from_problem
from soundstage.core.operation import Operation

PROBLEM_TYPE = "urn:soundstage:error:"


class Wire:
    """One connection's format, credentials and limits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._media_type: ContentType = MSGPACK if settings.format == "msgpack" else JSON
        self.encode: Callable[[Any], bytes] = request_encoder(self._media_type)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What every request of the connection carries."""
        media_type = self._media_type.encode()
        headers = [
            (b"content-type", media_type),
            (b"accept", media_type),
            (b"accept-encoding", b"identity"),
            (b"user-agent", b"soundstage"),
        ]
        bearer = self._settings.bearer()
        if bearer is not None:
            headers.append((b"authorization", b"Bearer " + header_value("token", bearer)))
        return headers

    async def reply(self, operation: Operation[..., Any], response: httpx2.Response) -> Any:
        """The message in `response`; raises the error it carries instead, `TooLarge` over the limit."""
        body = await self.read(response)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip()
        if response.status_code != 200:
            raise self.problem(response.status_code, response.headers.get("content-type", ""), body)
        if media_type != self._media_type:
            raise foreign_answer(200, media_type)
        try:
            return decoder(operation.answer, self._media_type, strict=False).decode(body)
        except InvalidArgument as error:
            raise Internal(
                f"the reply of {operation.system}/{operation.name} cannot be read: {error.detail}",
                hint="use a client of the stage's release",
            ) from None

    def problem(self, status: int, content_type: str, body: bytes) -> SoundstageError:
        """The error that a reply carries."""
        return _problem(status, content_type.partition(";")[0].strip(), body)

    async def read(self, response: httpx2.Response) -> bytes:
        """The whole body; `TooLarge` over the limit."""
        limit = self._settings.max_reply_bytes
        parts: list[bytes] = []
        size = 0
        # Every request asks for the bytes as they are, so that nothing stands between the stream and the message.
        async for part in cast("httpx2.AsyncByteStream", response.stream):
            size += len(part)
            if size > limit:
                raise TooLarge(
                    f"the reply is over {limit} bytes", hint="ask for smaller pages, or raise `max_reply_bytes`"
                )
            parts.append(part)
        return b"".join(parts)


def header_value(name: str, text: str) -> bytes:
    """`text` as a header carries it. Raises `InvalidArgument` for what no header can."""
    if not (text and text.isascii() and text.isprintable()):
        raise InvalidArgument(f"the {name} cannot be sent", field=name, hint="use printable ASCII")
    return text.encode()


def trace_parent() -> bytes | None:
    """The current span as W3C `traceparent` carries it; None while nobody traces."""
    # A program that traces has loaded the library; for others it is not worth its time.
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)


def _problem(status: int, media_type: str, body: bytes) -> SoundstageError:
    decode = _PROBLEM_DECODERS.get(media_type)
    try:
        problem = None if decode is None else decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = None
    if problem is None or not str(problem.get("type")).startswith(PROBLEM_TYPE):
        return foreign_answer(status, media_type)
    return from_problem(problem)


_decode_json = msgspec.json.Decoder(dict[str, Any]).decode
_decode_msgpack = msgspec.msgpack.Decoder(dict[str, Any]).decode

_PROBLEM_DECODERS = {
    JSON: _decode_json,
    MSGPACK: _decode_msgpack,
    "application/problem+json": _decode_json,
    "application/problem+msgpack": _decode_msgpack,
}
