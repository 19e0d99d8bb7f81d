"""What the first page shows, as data: its JSON twin is `/status.json`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import msgspec

from soundstage.core.errors import SoundstageError
from soundstage.engines.records.port import Statistics
from soundstage.runtime.namespaces.api import NamespaceInfo, Namespaces
from soundstage.runtime.stage import Stage

NAMESPACES_MAX = 1_000


class OperationStatus(msgspec.Struct, kw_only=True):
    name: str
    kind: str
    access: str
    summary: str
    calls: int
    failures: int


class SystemStatus(msgspec.Struct, kw_only=True):
    name: str
    summary: str
    stability: str
    operations: list[OperationStatus]


class EngineStatus(msgspec.Struct, kw_only=True):
    name: str
    url: str
    capabilities: list[str]
    tables: int
    statistics: bool
    problem: str | None = None


class Status(msgspec.Struct, kw_only=True):
    """A stage at one moment."""

    version: str
    ready: bool
    reasons: list[str]
    data: str
    authentication: str
    systems: list[SystemStatus]
    namespaces: list[NamespaceInfo]
    engines: list[EngineStatus]


async def status(stage: Stage) -> Status:
    """Everything the first page shows; the first thousand namespaces."""
    health = stage.health()
    return Status(
        version=_version(),
        ready=health.ready,
        reasons=list(health.reasons),
        data=stage.config.data,
        authentication=stage.config.auth.mode,
        systems=_systems(stage),
        namespaces=await _namespaces(stage),
        engines=[await _engine(stage, name) for name in stage.engines],
    )


def _systems(stage: Stage) -> list[SystemStatus]:
    found = {
        name: SystemStatus(name=name, summary=system.summary, stability=system.stability, operations=[])
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


async def _namespaces(stage: Stage) -> list[NamespaceInfo]:
    found: list[NamespaceInfo] = []
    async for page in stage.client(Namespaces).list.pages():
        found += page.namespaces
        if len(found) >= NAMESPACES_MAX:
            break
    return found[:NAMESPACES_MAX]


async def _engine(stage: Stage, name: str) -> EngineStatus:
    engine = stage.engines[name]
    tables, problem = 0, None
    try:
        tables = len(await engine.tables())
    except SoundstageError as error:
        problem = error.detail
    return EngineStatus(
        name=name,
        url=stage.config.engines[name].url,
        capabilities=sorted(engine.capabilities),
        tables=tables,
        statistics=isinstance(engine, Statistics),
        problem=problem,
    )


def _version() -> str:
    try:
        return version("soundstage")
    except PackageNotFoundError:
        return "0"
