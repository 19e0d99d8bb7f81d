"""What a connection is to the commands: its names, its version of the protocol, its database, who is behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundstage.data.kv.resp.faults import CommandError
from soundstage.data.kv.resp.gathered import Share
from soundstage.data.kv.resp.replies import NULLS

if TYPE_CHECKING:
    from soundstage.data.kv.resp.door import RespDoor
    from soundstage.data.kv.resp.space import Space
    from soundstage.runtime.door import DoorSession

NO_AUTHENTICATION = "NOAUTH Authentication required."


class Client:
    """One connection. `session` is None until the peer has said who it is; `ends` closes it after the reply.

    `discards`: a MULTI was refused, and so is all that was to be part of its transaction.
    """

    __slots__ = (
        "_session",
        "_space",
        "address",
        "began_ns",
        "database",
        "discards",
        "door",
        "ends",
        "library",
        "name",
        "null",
        "number",
        "protocol",
        "share",
        "version",
    )

    def __init__(self, door: RespDoor, number: int, address: str) -> None:
        self.door: RespDoor = door
        self.number: int = number
        self.address: str = address
        self.began_ns: int = door.context.environment.monotonic_ns()
        self.share: Share = Share(door.gathered)
        self.library: str = ""
        self.version: str = ""
        self.reset()

    def reset(self) -> None:
        """As at the beginning."""
        self.ends: bool = False
        self.discards: bool = False
        self.name: str = ""
        self.database: int = 0
        self._space: Space | None = None
        self._session: DoorSession | None = None
        self.speak(2)
        if not self.door.context.authenticates:
            self.let_in(self.door.context.authenticate(None))

    def speak(self, protocol: int) -> None:
        """Replies are of that version of the protocol."""
        self.protocol: int = protocol
        self.null: bytes = NULLS[protocol]

    @property
    def session(self) -> DoorSession | None:
        """Who is behind the connection."""
        return self._session

    def let_in(self, session: DoorSession) -> None:
        """The peer has said who it is."""
        self._session = session
        self._space = None

    def select(self, database: int) -> None:
        """Commands go to that database. Raises `CommandError` for one that is not configured."""
        self.door.namespace_of(database)
        self.database = database
        self._space = None

    @property
    def space(self) -> Space:
        """The namespace that commands go to, as this peer may reach it."""
        if self._space is None:
            if self._session is None:
                raise CommandError(NO_AUTHENTICATION)
            self._space = self.door.space(self._session, self.database, self.share)
        return self._space
