"""What a listener serves: the application, once there is one, and until then that the stage is starting."""

from __future__ import annotations

from typing import Any

import msgspec

from soundstage.core.codec import JSON
from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable
from soundstage.core.ids import request_id
from soundstage.surface.http.asgi import Receive, Scope, Send
from soundstage.surface.http.reply import Reply, problem_reply

STARTING = "the stage is starting"

_JSON = (b"content-type", b"application/json")
_FRESH = (b"cache-control", b"no-store")


class Entrance:
    """Of one listener. Whoever comes before `application` is set is refused, but may ask for the stage's health."""

    def __init__(self, environment: Environment) -> None:
        self.application: Any = None
        self._environment = environment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self.application is not None:
            await self.application(scope, receive, send)
        elif scope["type"] == "http":
            status, headers, body = self._refusal(scope["path"])
            if scope["method"] == "HEAD":
                body = b""
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def _refusal(self, path: str) -> Reply:
        given = request_id(self._environment)
        if path == "/health/live":
            reply = Reply(200, [_JSON, _FRESH], b'{"status":"live"}')
        elif path == "/health/ready":
            told = {"status": "not ready", "reasons": [STARTING]}
            reply = Reply(503, [_JSON, _FRESH], msgspec.json.encode(told))
        else:
            error = Unavailable(
                STARTING, hint="retry, or ask another process", outcome="not_applied", retry_after_ms=1_000
            )
            reply = problem_reply(error, JSON, given)
        status, headers, body = reply
        return Reply(
            status, [*headers, (b"content-length", b"%d" % len(body)), (b"x-request-id", given.encode())], body
        )
