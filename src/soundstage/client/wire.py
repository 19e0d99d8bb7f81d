"""Messages as bytes, and replies and problems as messages again."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec

from soundstage.client.settings import Settings
from soundstage.core.codec import JSON, MSGPACK, ContentType, decoder, request_encoder
from soundstage.core.errors import Internal, SoundstageError, TooLarge, Unavailable, from_problem
from soundstage.core.operation import Operation


class Wire:
    """One connection's format, credentials and limits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._media_type: ContentType = MSGPACK if settings.format == "msgpack" else JSON
        self.encode = request_encoder(self._media_type)

    def headers(self) -> dict[str, str]:
        """What every request of the connection carries."""
        headers = {
            "content-type": self._media_type,
            "accept": self._media_type,
            "accept-encoding": "identity",
            "user-agent": "soundstage",
        }
        bearer = self._settings.bearer()
        if bearer is not None:
            headers["authorization"] = f"Bearer {bearer}"
        return headers

    async def reply(self, operation: Operation[..., Any], response: httpx2.Response) -> Any:
        """The message in `response`; raises the error it carries instead, `TooLarge` over the limit."""
        body = await self._read(response)
        if response.status_code == 200:
            return decoder(operation.reply, self._media_type, strict=False).decode(body)
        raise _problem(response, body)

    async def _read(self, response: httpx2.Response) -> bytes:
        limit = self._settings.max_reply_bytes
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > limit:
                raise TooLarge(
                    f"the reply is over {limit} bytes", hint="ask for smaller pages, or raise `max_reply_bytes`"
                )
            parts.append(part)
        return b"".join(parts)


def _problem(response: httpx2.Response, body: bytes) -> SoundstageError:
    media_type = response.headers.get("content-type", "").partition(";")[0]
    try:
        if media_type in {"application/problem+json", JSON}:
            return from_problem(msgspec.json.decode(body, type=dict[str, Any]))
        if media_type in {MSGPACK, "application/problem+msgpack"}:
            return from_problem(msgspec.msgpack.decode(body, type=dict[str, Any]))
    except msgspec.MsgspecError:
        pass
    # Not ours: a proxy between, or another server at this address.
    error = Unavailable if response.status_code in {502, 503, 504} else Internal
    return error(
        f"the server answered {response.status_code} with {media_type or 'no media type'}, which no stage does",
        hint="check the address and what stands between",
    )
