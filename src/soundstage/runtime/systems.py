"""The systems of the catalogue as one stage runs them: code loaded and services opened on first use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from soundstage.core.codec import convert
from soundstage.core.errors import InvalidArgument, NotFound, Unavailable
from soundstage.core.names import nearest
from soundstage.core.operation import Operation, operations_of
from soundstage.core.panels import Panel
from soundstage.core.system import System, system_of
from soundstage.runtime.roles import Role
from soundstage.runtime.service import Abstraction, Service, ServiceContext

ENTRY_POINTS = "soundstage.systems"

log: logging.Logger = logging.getLogger("soundstage.systems")


def catalogued(systems: Sequence[System]) -> dict[str, System]:
    """`systems` and those that installed packages add, by name. Raises `InvalidArgument` for a name twice.

    One that a package adds and cannot bring is logged: the others work all the same.
    """
    from importlib.metadata import entry_points

    found: dict[str, System] = {system.name: system for system in systems}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            system = system_of(point)
        except InvalidArgument as error:
            log.warning("%s", error.detail)
            continue
        try:
            find_spec(f"{system.path}.api")
        except Exception as error:  # noqa: BLE001 - the package is imported to find what is in it
            log.warning("the system %r of an installed package cannot be loaded: %s", system.name, error)
            continue
        if system.name in found:
            raise InvalidArgument(f"the package of {point.value} adds the system {system.name!r}, which exists")
        found[system.name] = system
    return found


def contributed_roles(systems: Mapping[str, System]) -> list[tuple[str, Role]]:
    """Every role of `systems`, with the name of its system. Raises `Unavailable` for an extra that is missing."""
    found: list[tuple[str, Role]] = []
    for name, system in systems.items():
        roles = part_if_any(system, "roles")
        if roles is not None:
            found += [(name, role) for role in roles.ROLES]
    return found


def part_of(system: System, part: str) -> Any:
    """A module of a system's package. Raises `Unavailable` with what to install when an extra is missing."""
    try:
        return import_module(f"{system.path}.{part}")
    except ModuleNotFoundError as error:
        if system.extra is None or (error.name or "").startswith("soundstage"):
            raise
        raise Unavailable(
            f"the system {system.name!r} needs the package {error.name!r}",
            hint=f'pip install "soundstage[{system.extra}]"',
            retryable=False,
            outcome="not_applied",
        ) from None


def part_if_any(system: System, part: str) -> Any:
    """As `part_of`; None where the package has no such module."""
    return None if find_spec(f"{system.path}.{part}") is None else part_of(system, part)


class Systems:
    """Finds, loads, opens and closes systems.

    `context` makes what a service is given, from the system's name and its `SystemConfig`; `knobs` are the
    tables `[systems.NAME]` of the stage file.
    """

    def __init__(
        self,
        systems: Sequence[System],
        context: Callable[[str, Any], ServiceContext],
        knobs: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.catalogue: dict[str, System] = catalogued(systems)
        self._context = context
        self._knobs = knobs
        self._services: dict[str, Service] = {}
        self._started: list[str] = []
        self._starting = asyncio.Lock()

    def find(self, name: str, field: str | None = None) -> System:
        """The catalogue's line; `NotFound` with the nearest name."""
        system = self.catalogue.get(name)
        if system is not None:
            return system
        close = nearest(name, self.catalogue)
        hint = f"did you mean {close!r}?" if close else f"systems are {', '.join(sorted(self.catalogue))}"
        raise NotFound(f"there is no system {name!r}", field=field, hint=hint)

    def operations(self, name: str) -> dict[str, Operation[..., Any]]:
        """The operations of a system, by name."""
        return operations_of(part_of(self.find(name), "api").CALLS)

    def namespace_config(self, name: str) -> type[Any] | None:
        """The struct of a namespace's knobs, or None for a system without namespaces."""
        return getattr(part_if_any(self.find(name), "config"), "NamespaceConfig", None)

    def abstractions(self) -> list[str]:
        """The names of the systems that have namespaces."""
        return [name for name in self.catalogue if self.namespace_config(name) is not None]

    def doors(self) -> dict[str, str]:
        """The kinds of door, with the names of the systems that have them."""
        return {kind: name for name, system in self.catalogue.items() for kind in system.doors}

    def door(self, kind: str) -> Any:
        """The `DoorKind` that a system's module `doors` has for `kind`, which is one of `doors`."""
        return part_of(self.find(self.doors()[kind]), "doors").DOORS[kind]

    def panels(self, name: str) -> tuple[Panel, ...]:
        """What the console shows of the system `name`, by its module `pages`; nothing where there is none."""
        pages = part_if_any(self.find(name), "pages")
        return () if pages is None else pages.PANELS

    def service(self, name: str) -> Service:
        """The service of a system, constructed on first use; it may not have been started."""
        service = self._services.get(name)
        if service is None:
            system = self.find(name)
            service = part_of(system, "service").SERVICE(self._context(name, self._config(system)))
            self._services[name] = service
        return service

    def abstraction(self, name: str, field: str) -> Abstraction:
        """The service of a system that has namespaces; `InvalidArgument` for `field` when it has none."""
        service = self.service(name)
        if isinstance(service, Abstraction):
            return service
        raise InvalidArgument(
            f"the system {name!r} has no namespaces", field=field, hint=f"abstractions are {self.abstractions()}"
        )

    async def started(self, name: str) -> Service:
        """The service of a system, started on first use."""
        service = self.service(name)
        if name not in self._started:
            async with self._starting:
                if name not in self._started:
                    await service.start()
                    self._started.append(name)
        return service

    def roles(self) -> list[tuple[str, Role]]:
        """Every role that a system contributes, with the system's name."""
        return contributed_roles(self.catalogue)

    def open_services(self) -> dict[str, Service]:
        """The services in use, by name of their system."""
        return dict(self._services)

    async def stop(self) -> None:
        """Every started service has stopped, the last started first. Idempotent."""
        while self._started:
            await self._services[self._started.pop()].stop()

    def check_knobs(self) -> None:
        """Raise `InvalidArgument` for a table `[systems.NAME]` that no system understands."""
        for name in self._knobs:
            self._config(self.find(name, f"systems.{name}"))

    def _config(self, system: System) -> Any:
        knobs = self._knobs.get(system.name)
        config = getattr(part_if_any(system, "config"), "SystemConfig", None)
        if config is None:
            if knobs:
                raise InvalidArgument(f"the system {system.name!r} has no knobs", field=f"systems.{system.name}")
            return None
        try:
            converted = convert(knobs or {}, config)
            if hasattr(converted, "check"):
                converted.check()
            return converted
        except InvalidArgument as error:
            field = ".".join(filter(None, ("systems", system.name, error.field)))
            raise InvalidArgument(error.detail, field=field, hint=error.hint) from None
