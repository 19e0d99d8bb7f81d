"""What a system's `doors.py` is given, and what it gives in return.

A door speaks a protocol that others invented, for callers who have no client of ours. It either listens by itself
(`ListenerDoor`: TCP or a Unix socket) or is an ASGI application below a prefix of the HTTP surface
(`MountedDoor`). Whatever it is asked for goes to operations, by a `DoorSession`, and so through the same
interceptors as any other call. A system's `doors.py` holds `DOORS`, which maps each kind that the catalogue names to
a `DoorKind`; it is imported when the stage file has such a door.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.call import LOCAL, Call, Principal
from soundstage.core.environment import Environment
from soundstage.core.errors import Unauthenticated
from soundstage.core.hlc import TokenClock
from soundstage.core.ids import request_id
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.operation import Operation
from soundstage.core.size import Size
from soundstage.core.time import Duration
from soundstage.runtime.config import StageConfig, TlsConfig
from soundstage.runtime.control.changes import NamespaceControl
from soundstage.runtime.control.registry import Registry
from soundstage.runtime.credentials import TokenStore
from soundstage.runtime.dispatch import BoundOperation
from soundstage.runtime.door_connection import DoorConnection
from soundstage.runtime.service import Namespaces

_NS = 1_000_000_000

RECOGNISED_NS = _NS
"""How long who is behind a session is taken for granted, before the token is looked at again."""


class ListenerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that every door with a listener of its own has; a kind of door derives its own from it."""

    kind: Annotated[str, Meta(description="kind of door; none: the name of the table is one")] = ""
    listen: Annotated[
        str, Meta(description="`HOST:PORT`, where 0 picks a free port, or `unix:PATH`, below `data` unless absolute")
    ]
    tls: TlsConfig = TlsConfig()
    insecure: Annotated[bool, Meta(description="serve other hosts without authentication")] = False
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000, description="more are told so and closed")] = 10_000
    max_buffered: Annotated[
        Size,
        Meta(description="requests of all connections that are half there", extra={"bounds": ("64KiB", "1TiB")}),
    ] = Size(256 << 20)
    idle_timeout: Annotated[
        Duration,
        Meta(description="a connection that says nothing for so long is closed", extra={"bounds": ("10ms", "365d")}),
    ] = Duration(3_600 * _NS)
    write_timeout: Annotated[
        Duration,
        Meta(
            description="a connection that takes nothing of its replies for so long is closed",
            extra={"bounds": ("10ms", "1h")},
        ),
    ] = Duration(30 * _NS)
    drain_timeout: Annotated[
        Duration, Meta(description="how long a stop waits for what was asked", extra={"bounds": ("1ms", "1h")})
    ] = Duration(10 * _NS)


class MountConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that every door below a prefix of the HTTP surface has; a kind of door derives its own from it."""

    kind: Annotated[str, Meta(description="kind of door; none: the name of the table is one")] = ""
    prefix: Annotated[str, Meta(description="where it is, such as `/schemas`; nothing else of the stage lies below")]
    max_body: Annotated[Size, Meta(description="a request's body", extra={"bounds": ("1KiB", "1GiB")})] = Size(8 << 20)


class ListenerDoor(Protocol):
    """A door that listens by itself; the stage accepts, counts, bounds and drains its connections."""

    async def start(self) -> None:
        """What it needs is there; connections come from here on."""
        ...

    def connect(self) -> DoorConnection:
        """One more connection."""
        ...

    async def stop(self) -> None:
        """No connection is left; release what it holds. Idempotent."""
        ...


class MountedDoor(Protocol):
    """A door that is an ASGI application. Its scope has `root_path`, and a `DoorSession` as `soundstage.session`."""

    async def start(self) -> None: ...

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def stop(self) -> None: ...


Door: TypeAlias = ListenerDoor | MountedDoor


class DoorKind(NamedTuple):
    """How doors of one kind are configured and opened. `scheme` is what their address begins with."""

    config: type[ListenerConfig] | type[MountConfig]
    open: Callable[[DoorContext], Door]
    scheme: str = "tcp"


class DoorStatistics:
    """What came through one door, in plain integers."""

    __slots__ = ("buffered", "connections", "failures", "opened", "received", "refused", "requests", "sent")

    def __init__(self) -> None:
        self.connections: int = 0
        self.opened: int = 0
        self.refused: int = 0
        self.requests: int = 0
        self.failures: dict[str, int] = {}
        self.received: int = 0
        self.sent: int = 0
        self.buffered: int = 0

    def failed(self, code: str) -> None:
        """Count a request that was answered with an error."""
        self.failures[code] = self.failures.get(code, 0) + 1


class DoorStage(Protocol):
    """What a door's context takes of its stage."""

    config: StageConfig
    environment: Environment
    clock: TokenClock
    tokens: TokenStore
    namespaces: NamespaceControl
    registry: Registry

    def bind(self, operation: Operation[..., Any]) -> BoundOperation: ...


class DoorContext:
    """What the stage hands to a door when it opens it. `config` is of the kind's own type."""

    def __init__(self, name: str, config: Any, stage: DoorStage) -> None:
        self.name = name
        self.config: Any = config
        self.environment: Environment = stage.environment
        self.clock: TokenClock = stage.clock
        self.statistics: DoorStatistics = DoorStatistics()
        self.authenticates: bool = stage.config.auth.mode != "none"
        telemetry = stage.config.telemetry
        self.told: bool = telemetry.traces or telemetry.log_calls
        self._stage = stage

    def authenticate(self, token: str | None) -> DoorSession:
        """Whoever has this access token; without authentication the owner. Raises `Unauthenticated`."""
        if not self.authenticates:
            return DoorSession(self, LOCAL)
        if token is None:
            raise Unauthenticated(
                "this stage wants an access token", hint="make one with `soundstage tokens create`, and send it"
            )
        return DoorSession(self, self._stage.tokens.recognise(token))

    def check(self, principal: Principal) -> None:
        """Raises `Unauthenticated` when the token that `principal` came with is none any more."""
        self._stage.tokens.check(principal)

    def bind(self, operation: Operation[..., Any]) -> BoundOperation:
        """The operation as this stage runs it."""
        return self._stage.bind(operation)

    def request_id(self) -> str:
        """A name for one request."""
        return request_id(self.environment)

    def namespaces(self, abstraction: str) -> Namespaces:
        """The namespaces of one abstraction, as this process serves them."""
        return self._stage.registry.of(abstraction)

    def has_namespace(self, name: str) -> bool:
        """Whether there is a namespace of that name, be it one that this process cannot serve."""
        return name in self._stage.namespaces.applied.known

    async def make_namespace(self, spec: NamespaceSpec) -> None:
        """The namespace is there; one that was there before is left as it is."""
        if not self.has_namespace(spec.name):
            await self._stage.namespaces.put(spec, None, f"door {self.name}")


class DoorSession:
    """Who is behind a connection or a request, and the way to the operations.

    A session may last: the token it was made with is looked at again every second, so that one that was revoked or has
    expired opens nothing any more.
    """

    __slots__ = ("_check_ns", "_context", "_runs", "principal")

    def __init__(self, context: DoorContext, principal: Principal) -> None:
        self.principal: Principal = principal
        self._context = context
        self._check_ns = context.environment.monotonic_ns() + RECOGNISED_NS
        self._runs: dict[Operation[..., Any], Callable[[Any], Coroutine[Any, Any, Any]]] = {}

    def invoke(self, operation: Operation[..., Any], request: Any) -> Coroutine[Any, Any, Any]:
        """The reply to `request`, by the way of every surface. Raises `Unauthenticated` for a token revoked since."""
        run = self._runs.get(operation)
        if run is None:
            run = self._runs[operation] = self._way(self._context.bind(operation))
        return run(request)

    def check(self) -> None:
        """Raises `Unauthenticated` when the session's token is none any more."""
        if self.principal is not LOCAL:
            now_ns = self._context.environment.monotonic_ns()
            if now_ns >= self._check_ns:
                self._context.check(self.principal)
                self._check_ns = now_ns + RECOGNISED_NS

    def _way(self, bound: BoundOperation) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        if self.principal is LOCAL and not self._context.told:
            # The owner needs no authorisation, and nothing shows an id.
            return bound.run_local

        def run(request: Any) -> Coroutine[Any, Any, Any]:
            self.check()
            return bound.run(Call(principal=self.principal, request_id=self._context.request_id()), request)

        return run
