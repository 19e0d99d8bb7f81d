"""The doors of a stage: read from `[doors.NAME]`, opened in their order, drained in reverse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from soundstage.core.codec import convert
from soundstage.core.errors import InvalidArgument
from soundstage.core.names import nearest
from soundstage.runtime.bounds import check_bounds
from soundstage.runtime.config import StageConfig
from soundstage.runtime.door import (
    Door,
    DoorContext,
    DoorKind,
    DoorStage,
    DoorStatistics,
    ListenerDoor,
    MountConfig,
)
from soundstage.runtime.door_listener import DoorListener, check_listener

if TYPE_CHECKING:
    from soundstage.runtime.systems import Systems

RESERVED = frozenset({"v1", "health", "metrics", "openapi.json", "docs", "console", "status.json"})
"""The first parts of paths that the HTTP surface has itself."""

_PREFIX = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._~-]*)+")


class Declared(msgspec.Struct, frozen=True):
    """A door as the stage file has it, understood."""

    kind: str
    opens: DoorKind
    config: Any


class OpenDoor(msgspec.Struct, frozen=True):
    """A door that is open. `address` is where its callers find it."""

    name: str
    kind: str
    address: str
    context: DoorContext
    door: Door
    listener: DoorListener | None = None


class DoorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A door at one moment, for people."""

    name: str
    kind: str
    address: str
    connections: int
    requests: int
    failures: int


class Doors:
    """The doors of one stage; nobody comes in before `start`. Without `watches` no connection times out."""

    def __init__(self, config: StageConfig, systems: Systems, watches: bool = True) -> None:
        self._config = config
        self._systems = systems
        self._watches = watches
        self._open: list[OpenDoor] = []
        self._state: str | None = None

    def declared(self) -> dict[str, Declared]:
        """Every door that is configured. Raises `InvalidArgument` for a kind or a key that there is not."""
        return {name: self._declared(name, knobs) for name, knobs in self._config.doors.items()}

    def check(self) -> dict[str, Declared]:
        """Every door that is configured. Raises `InvalidArgument` for the first that cannot be opened as it says."""
        declared = self.declared()
        prefixes: dict[str, str] = {}
        for name, each in declared.items():
            if isinstance(each.config, MountConfig):
                _check_prefix(name, each.config.prefix, prefixes)
            else:
                check_listener(each.config, self._config.auth, self._config.data, f"doors.{name}")
        return declared

    async def start(self, stage: DoorStage, *, listening: bool = True) -> None:
        """Every door is open. Raises `NotListening`, or why one cannot be; those before it are closed again.

        Without `listening` only those are that are mounted.
        """
        if self._state is not None:
            return
        self._state = "the doors are opening"
        try:
            for name, declared in self.check().items():
                if not listening and not isinstance(declared.config, MountConfig):
                    continue
                self._open.append(await self._opened(name, declared, stage))
        except BaseException:
            await self.stop()
            raise
        self._state = ""

    async def stop(self) -> None:
        """Every door is closed, and has answered what it was asked in time. Idempotent."""
        if self._state is None:
            return
        self._state = "the doors are closing"
        while self._open:
            each = self._open[-1]
            if each.listener is not None:
                await each.listener.stop()
            await each.door.stop()
            self._open.pop()
        self._state = None

    def reasons(self) -> list[str]:
        """Why the doors are not to be relied on at this moment."""
        return [self._state] if self._state else []

    @property
    def opened(self) -> tuple[OpenDoor, ...]:
        """The doors that are open, in the order of the stage file."""
        return tuple(self._open)

    def infos(self) -> list[DoorInfo]:
        """What there is to say of each open door."""
        return [_info(each.name, each.kind, each.address, each.context.statistics) for each in self._open]

    def statistics(self) -> dict[str, DoorStatistics]:
        """What came through each open door, by its name."""
        return {each.name: each.context.statistics for each in self._open}

    def mounted(self, path: str) -> OpenDoor | None:
        """The door below whose prefix `path` lies."""
        for each in self._open:
            if each.listener is None and (path == each.address or path.startswith(f"{each.address}/")):
                return each
        return None

    async def _opened(self, name: str, declared: Declared, stage: DoorStage) -> OpenDoor:
        context = DoorContext(name, declared.config, stage)
        door = declared.opens.open(context)
        await door.start()
        if isinstance(declared.config, MountConfig):
            return OpenDoor(name, declared.kind, declared.config.prefix, context, door)
        try:
            place = check_listener(declared.config, self._config.auth, self._config.data, f"doors.{name}")
            listener = DoorListener(cast("ListenerDoor", door), context, place, declared.opens.scheme)
            await listener.start(watches=self._watches)
        except BaseException:
            await door.stop()
            raise
        return OpenDoor(name, declared.kind, listener.address, context, door, listener)

    def _declared(self, name: str, knobs: Mapping[str, Any]) -> Declared:
        kind = knobs.get("kind") or name
        kinds = self._systems.doors()
        if kind not in kinds:
            close = nearest(str(kind), kinds)
            hint = f"did you mean {close!r}?" if close else f"kinds are {', '.join(sorted(kinds)) or 'none'}"
            raise InvalidArgument(f"there is no door of the kind {kind!r}", field=f"doors.{name}.kind", hint=hint)
        opens = self._systems.door(kind)
        try:
            config = convert(dict(knobs), opens.config)
        except InvalidArgument as error:
            field = ".".join(filter(None, ("doors", name, error.field)))
            raise InvalidArgument(error.detail, field=field, hint=error.hint) from None
        check_bounds(config, f"doors.{name}.")
        return Declared(kind, opens, config)


def _check_prefix(name: str, prefix: str, taken: dict[str, str]) -> None:
    field = f"doors.{name}.prefix"
    if not _PREFIX.fullmatch(prefix):
        raise InvalidArgument(f"{prefix!r} is no prefix of paths", field=field, hint='write "/schemas" or the like')
    if prefix.split("/")[1] in RESERVED:
        raise InvalidArgument(f"{prefix} is the stage's own", field=field, hint="choose another")
    for other, owner in taken.items():
        if f"{prefix}/".startswith(f"{other}/") or f"{other}/".startswith(f"{prefix}/"):
            raise InvalidArgument(
                f"{prefix} lies with {other} of the door {owner!r}", field=field, hint="choose another"
            )
    taken[prefix] = name


def _info(name: str, kind: str, address: str, statistics: DoorStatistics) -> DoorInfo:
    return DoorInfo(
        name=name,
        kind=kind,
        address=address,
        connections=statistics.connections,
        requests=statistics.requests,
        failures=sum(statistics.failures.values()),
    )
