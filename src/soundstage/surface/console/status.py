"""What the first page shows, as data: its JSON twin is `/status.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from soundstage import __version__
from soundstage.core.call import Principal
from soundstage.core.errors import SoundstageError
from soundstage.core.namespace import NamespaceInfo
from soundstage.runtime.access import allows
from soundstage.runtime.doors import DoorInfo
from soundstage.runtime.secrecy import redacted
from soundstage.runtime.stage import Stage

NAMESPACES_MAX = 1_000


class OperationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`calls` and `failures` count since this process started."""

    name: str
    kind: str
    access: str
    summary: str
    calls: int
    failures: int


class SystemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`page` is where the console shows what the system holds, if it does."""

    name: str
    summary: str
    stability: str
    operations: list[OperationStatus]
    page: str | None = None


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One port of an engine, and how much of the port's kind it holds; `problem` says why that cannot be told."""

    name: str
    port: str
    url: str
    capabilities: list[str]
    tables: int | None = None
    blobs: int | None = None
    topics: int | None = None
    bytes: int | None = None
    problem: str | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A stage at one moment, as far as the caller may know.

    `namespaces` are the first thousand of those that it may read, of `namespaces_total`; `unserved` says which of
    all cannot be served, why and what to do; `engines`, `doors` and
    `data` are for the role `observe`.
    """

    version: str
    ready: bool
    reasons: list[str]
    authentication: str
    data: str | None
    systems: list[SystemStatus]
    namespaces: list[NamespaceInfo]
    namespaces_total: int
    engines: list[EngineStatus]
    doors: list[DoorInfo] = []
    warnings: list[str] = []
    unserved: list[str] = []


async def status(stage: Stage, principal: Principal, not_ready: Sequence[str] = ()) -> Status:
    """Everything that the first page shows to `principal`; `not_ready` are reasons that the stage does not know."""
    health = stage.health()
    reasons = [*not_ready, *health.reasons]
    applied = stage.namespaces.applied
    observes = allows(principal, "observe", None)
    namespaces = [info for name, info in sorted(applied.known.items()) if _reads(principal, name)]
    return Status(
        version=__version__,
        ready=not reasons,
        reasons=reasons,
        warnings=health.warnings,
        authentication=stage.config.auth.mode,
        data=stage.config.data if observes else None,
        systems=_systems(stage),
        namespaces=namespaces[:NAMESPACES_MAX],
        namespaces_total=len(namespaces),
        unserved=[str(each) for name, each in applied.unserved.items() if _reads(principal, name)],
        engines=[each for name in stage.engines for each in await _engine(stage, name)] if observes else [],
        doors=stage.doors.infos() if observes else [],
    )


def _reads(principal: Principal, namespace: str) -> bool:
    return allows(principal, "read", namespace)


def _systems(stage: Stage) -> list[SystemStatus]:
    found = {
        name: SystemStatus(
            name=name,
            summary=system.summary,
            stability=system.stability,
            operations=[],
            page=f"/console/{name}" if stage.systems.panels(name) else None,
        )
        for name, system in stage.systems.catalogue.items()
    }
    for (system, name), bound in stage.operations().items():
        operation = bound.operation
        found[system].operations.append(
            OperationStatus(
                name=name,
                kind=operation.kind,
                access=operation.access,
                summary=operation.doc.partition("\n")[0],
                calls=bound.stats.calls,
                failures=sum(bound.stats.failures.values()),
            )
        )
    return list(found.values())


async def _engine(stage: Stage, name: str) -> list[EngineStatus]:
    url = redacted(stage.config.engines[name].url)
    return [
        EngineStatus(
            name=name,
            port=port,
            url=url,
            capabilities=sorted(engine.capabilities),
            **await _holdings(stage, name, port),
        )
        for port, engine in stage.engines.ports(name).items()
    ]


async def _holdings(stage: Stage, name: str, port: str) -> dict[str, Any]:
    try:
        if port == "blobs":
            usage = await stage.engines.blobs(name, "engines").usage()
            return {"blobs": usage.blobs, "bytes": usage.bytes}
        if port in ("cache", "search"):
            return {}
        if port == "log":
            return {"topics": len(await stage.engines.log(name, "engines").topics())}
        return {"tables": len(await stage.engines.get(name, "engines").tables())}
    except SoundstageError as error:
        return {"problem": error.detail}
