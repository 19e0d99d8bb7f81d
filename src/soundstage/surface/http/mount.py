"""Requests to a door that is mounted below a prefix: who sends them, how long they may be, and what is counted."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from soundstage.core.errors import SoundstageError, TooLarge, Unauthenticated
from soundstage.runtime.doors import OpenDoor
from soundstage.surface.http.asgi import Receive, Scope, Send
from soundstage.surface.http.head import Head

BASIC = "basic "
BEARER = "bearer "


class MountedRequest:
    """One request to `door`, whose application answers it by itself."""

    def __init__(self, door: OpenDoor, given: str) -> None:
        self.started: bool = False
        self._door = door
        self._given = given
        self._statistics = door.context.statistics
        self._left = int(door.context.config.max_body)

    async def answer(self, scope: Scope, head: Head, receive: Receive, send: Send) -> None:
        """The door's answer is sent. Raises `Unauthenticated` for whoever has no token, and what the door raises."""
        self._statistics.requests += 1
        session = self._door.context.authenticate(token_of(head.authorization_text()))
        prefix = self._door.address
        inner = {
            **scope,
            "root_path": prefix,
            "soundstage.session": session,
            "soundstage.request_id": self._given,
        }

        async def bounded() -> dict[str, Any]:
            message = await receive()
            size = len(message.get("body", b""))
            self._statistics.received += size
            self._left -= size
            if self._left < 0:
                raise TooLarge(
                    f"the body is over {int(self._door.context.config.max_body)} bytes",
                    hint=f"send less at once; the door's key is doors.{self._door.name}.max_body",
                )
            return message

        async def named(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.started = True
                if message["status"] >= 400:
                    self._statistics.failed(str(message["status"]))
                message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self._given.encode())]}
            self._statistics.sent += len(message.get("body", b""))
            await send(message)

        door: Any = self._door.door
        await door(inner, bounded, named)

    def failed(self, error: SoundstageError) -> None:
        """Count a request that was not answered by the door."""
        self._statistics.failed(error.code)


def token_of(authorization: str | None) -> str | None:
    """The access token in a header `Authorization`: after `Bearer`, or as the password of `Basic`."""
    if authorization is None:
        return None
    if authorization[: len(BEARER)].lower() == BEARER:
        return authorization[len(BEARER) :].strip()
    if authorization[: len(BASIC)].lower() == BASIC:
        try:
            pair = base64.b64decode(authorization[len(BASIC) :].strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthenticated("the header `Authorization` cannot be read", hint="send `Bearer <token>`") from None
        return pair.partition(":")[2]
    raise Unauthenticated("the header `Authorization` is of no known kind", hint="send `Bearer <token>`")
