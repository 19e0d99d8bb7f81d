"""The door: what its connections share."""

from __future__ import annotations

from soundstage.core.errors import InvalidArgument
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.resp.config import RespConfig
from soundstage.data.kv.resp.connection import RespConnection
from soundstage.data.kv.resp.faults import CommandError
from soundstage.data.kv.resp.gathered import Gathered, Share
from soundstage.data.kv.resp.kinds import Known
from soundstage.data.kv.resp.requests import Limits
from soundstage.data.kv.resp.scans import Cursors
from soundstage.data.kv.resp.space import Space
from soundstage.runtime.door import DoorContext, DoorSession

DATABASE_MAX = 1_023

FOREIGN_NS = 60_000_000_000
"""Between two lines of the log about connections that speak HTTP."""


class RespDoor:
    """Clients of Redis at namespaces of the key-value store."""

    def __init__(self, context: DoorContext) -> None:
        config: RespConfig = context.config
        self.context: DoorContext = context
        self.config: RespConfig = config
        self.cursors: Cursors = Cursors(context)
        self.limits: Limits = Limits(config.max_arguments, int(config.max_request))
        self.gathered: Gathered = Gathered(int(config.max_replies))
        self.began_ns: int = context.environment.monotonic_ns()
        self.connections: dict[int, RespConnection] = {}
        self._namespaces = _namespaces(config, context.name)
        now_ns = context.environment.monotonic_ns
        self._known = {namespace: Known(now_ns) for namespace in self._namespaces.values()}
        self._number = 0
        self._foreign_ns: int | None = None

    async def start(self) -> None:
        """The namespaces of all databases are there."""
        for namespace in dict.fromkeys(self._namespaces.values()):
            await self.context.make_namespace(NamespaceSpec(name=namespace, abstraction="kv"))

    def connect(self) -> RespConnection:
        self._number += 1
        return RespConnection(self, self._number)

    async def stop(self) -> None:
        """Nothing is held but by connections."""

    def tells_foreign(self) -> bool:
        """Whether the log is to say that a connection spoke HTTP: once a minute."""
        now_ns = self.context.environment.monotonic_ns()
        if self._foreign_ns is not None and now_ns - self._foreign_ns < FOREIGN_NS:
            return False
        self._foreign_ns = now_ns
        return True

    @property
    def databases(self) -> int:
        """One more than the greatest number of a database."""
        return max(self._namespaces) + 1

    def namespace_of(self, database: int) -> str:
        """The namespace of a database. Raises `CommandError` for one that is not configured."""
        namespace = self._namespaces.get(database)
        if namespace is None:
            raise CommandError(f"ERR DB index is out of range: databases are {sorted(self._namespaces)}")
        return namespace

    def space(self, session: DoorSession, database: int, share: Share) -> Space:
        """A database as `session` reaches it; what is read for replies counts to `share`."""
        namespace = self.namespace_of(database)
        return Space(self.context, session, namespace, self._known[namespace], share)


def _namespaces(config: RespConfig, name: str) -> dict[int, str]:
    namespaces = {0: config.namespace}
    for number, namespace in config.databases.items():
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= DATABASE_MAX):
            raise InvalidArgument(
                f"{number!r} is no number of a database",
                field=f"doors.{name}.databases.{number}",
                hint=f"use 1 to {DATABASE_MAX}; database 0 is `namespace`",
            )
        namespaces[int(number)] = namespace
    return namespaces
