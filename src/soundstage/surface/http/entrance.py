"""What a listener serves: the application, once there is one, and until then that the stage is starting."""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.core.ids import request_id
from soundstage.surface.http.app import Application
from soundstage.surface.http.asgi import Receive, Scope, Send
from soundstage.surface.http.head import Head
from soundstage.surface.http.reply import LIVE, Reply, closed, health_reply, problem_format, problem_reply, send_reply
from soundstage.surface.http.shortcut import Shortcuts

STARTING = "the stage is starting"


class Entrance:
    """Of one listener. Whoever comes before `application` is set is refused, but may ask for the stage's health."""

    def __init__(self, environment: Environment) -> None:
        self.application: Application | None = None
        self.shortcuts: Shortcuts = Shortcuts()
        self._environment = environment

    def serve(self, application: Application) -> None:
        """`application` answers from now on."""
        self.application = self.shortcuts.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self.application is not None:
            await self.application(scope, receive, send)
        elif scope["type"] == "http":
            head = Head(scope["headers"])
            given = head.own_request_id() or request_id(self._environment)
            await send_reply(_refusal(scope["path"], head, given), given, scope, head, send)


def _refusal(path: str, head: Head, given: str) -> Reply:
    if path == "/health/live":
        return health_reply(200, LIVE)
    if path == "/health/ready":
        return health_reply(503, {"status": "not ready", "reasons": [STARTING]})
    return problem_reply(closed(STARTING), problem_format(head), given)
