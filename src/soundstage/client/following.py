"""A feed followed over HTTP: one long response of lines, taken up again where it broke off."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Protocol

import httpx2
import msgspec

from soundstage.client.network import Unreachable, network_error
from soundstage.client.settings import Settings
from soundstage.core.codec import JSON, Decoder, decoder, request_encoder
from soundstage.core.environment import Environment
from soundstage.core.errors import Internal, InvalidArgument, SoundstageError, TooLarge, from_problem
from soundstage.core.feed import CURSOR, HEARTBEAT_S
from soundstage.core.operation import Operation
from soundstage.core.policy import Resumption

NDJSON = b"application/x-ndjson"

SILENCE_MAX_S = 3 * HEARTBEAT_S
"""Without a line for so long, not even a heartbeat, the connection is taken for lost."""


class Opener(Protocol):
    """Sends a request and gives the response, whose body has not been read."""

    async def __call__(self, body: bytes, media_type: bytes, accept: bytes, silence_s: float) -> httpx2.Response: ...


class _Beside(msgspec.Struct):
    """What a line may hold that is no message."""

    cursor: str | None = None
    problem: dict[str, Any] | None = None


class Following:
    """One feed; `messages` goes on after failures that may pass, missing and repeating nothing."""

    def __init__(
        self,
        operation: Operation[..., Any],
        open_response: Opener,
        url: str,
        settings: Settings,
        environment: Environment,
    ) -> None:
        self._operation = operation
        self._open = open_response
        self._url = url
        self._settings = settings
        self._environment = environment
        self._message: Decoder[Any] = decoder(operation.reply, JSON, strict=False)
        self._cursor: str | None = None

    async def messages(self, request: Any) -> AsyncGenerator[Any]:
        """The messages; raises when the feed ends with an error that waiting does not mend."""
        resumption = Resumption(self._settings.retry, self._environment)
        while True:
            try:
                async with aclosing(self._once(request)) as messages:
                    async for message in messages:
                        resumption.went_on()
                        yield message
                return
            except SoundstageError as error:
                await resumption.wait(error)
            if self._cursor is not None:
                request = msgspec.structs.replace(request, cursor=self._cursor)

    async def _once(self, request: Any) -> AsyncGenerator[Any]:
        body = request_encoder(JSON)(request)
        try:
            response = await self._open(body, JSON.encode(), NDJSON, SILENCE_MAX_S)
            try:
                async for line in self._lines(response.aiter_bytes()):
                    message = self._read(line)
                    if message is not None:
                        yield message
            finally:
                await response.aclose()
        except (httpx2.HTTPError, OSError) as error:
            raise network_error(error, self._url, self._operation, True) from error

    async def _lines(self, parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        rest = b""
        async for part in parts:
            *lines, rest = (rest + part).split(b"\n")
            if len(rest) > self._settings.max_reply_bytes:
                raise TooLarge(
                    f"a message is over {self._settings.max_reply_bytes} bytes", hint="raise `max_reply_bytes`"
                )
            for line in lines:
                yield line
        if rest:
            raise Unreachable("the feed broke off within a message", retryable=True, outcome="not_applied")

    def _read(self, line: bytes) -> Any:
        """The message in a line, None for a heartbeat; raises the problem that ended the feed."""
        if not line:
            return None
        try:
            beside = _decode_beside(line)
            self._cursor = beside.cursor or self._cursor
            if beside.problem is None:
                return None if _is_position(line) else self._message.decode(line)
        except (msgspec.DecodeError, InvalidArgument) as error:
            raise Internal(
                f"a message of {self._operation.system}/{self._operation.name} cannot be read: {error}",
                hint="use a client of the stage's release",
            ) from None
        raise from_problem(beside.problem)


_decode_beside = msgspec.json.Decoder(_Beside).decode
_decode_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _is_position(line: bytes) -> bool:
    return line.startswith(b'{"cursor":') and _decode_names(line).keys() == {CURSOR}
