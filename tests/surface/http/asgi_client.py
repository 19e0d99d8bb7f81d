"""An application called in process: no socket, no server, one message at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from soundstage.surface.http.app import Application


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def msgpack(self) -> Any:
        return msgspec.msgpack.decode(self.body)


class Caller:
    """Calls an application as a server would."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def ask(
        self,
        path: str,
        body: bytes | None = None,
        *,
        method: str | None = None,
        parts: Sequence[bytes] | None = None,
        hangs_up: bool = False,
        **headers: str,
    ) -> Answer:
        """The answer to `body`, or to `parts` sent one after the other; without either, to a GET."""
        given = [body or b""] if parts is None else list(parts)
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": part, "more_body": hangs_up or number + 1 < len(given)}
            for number, part in enumerate(given)
        ]
        messages.append({"type": "http.disconnect"})
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        sends = body is not None or parts is not None
        await self.application(
            {
                "type": "http",
                "method": method or ("POST" if sends else "GET"),
                "path": unquote(path.partition("?")[0]),
                "raw_path": path.partition("?")[0].encode(),
                "query_string": path.partition("?")[2].encode(),
                "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
            },
            receive,
            send,
        )
        if not sent:
            return Answer(0, {}, b"")
        head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], head, b"".join(message["body"] for message in sent[1:]))

    async def post(self, path: str, message: Any, **headers: str) -> Answer:
        """The answer to a message sent as JSON."""
        given: dict[str, Any] = {"content_type": "application/json", **headers}
        return await self.ask(path, msgspec.json.encode(message), **given)
