"""Checks a whole configuration without opening anything: what `soundstage config check` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from soundstage.catalogue import SYSTEMS
from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.core.errors import SoundstageError
from soundstage.core.hlc import TokenClock
from soundstage.core.pages import KeyRing, PageTokens
from soundstage.core.system import System
from soundstage.runtime.admission import Admission
from soundstage.runtime.compute import Compute
from soundstage.runtime.config import StageConfig
from soundstage.runtime.control.declaration import Declarations, spec_of
from soundstage.runtime.control.registry import Registry
from soundstage.runtime.doors import Doors
from soundstage.runtime.engines import Engines
from soundstage.runtime.exposure import check_exposure, host_and_port, tls_context
from soundstage.runtime.service import BlobStores, Caches, Logs, Searches, ServiceContext
from soundstage.runtime.systems import Systems


def problems(
    config: StageConfig, systems: Sequence[System] = SYSTEMS, environment: Environment | None = None
) -> list[SoundstageError]:
    """Everything that would keep a stage of this configuration from starting, but for what only opening shows."""
    environment = environment or SystemEnvironment()
    found: list[SoundstageError] = []
    contexts = Contexts(config, environment)
    catalogue = Systems(systems, contexts, config.systems)
    engines: Engines | None = None
    try:
        engines = contexts.caches = contexts.logs = contexts.searches = contexts.blobs = Engines(
            config.engines, config.data, environment
        )
        engines.get(config.control.engine, "control.engine")
    except SoundstageError as error:
        found.append(error)
    for check in (
        catalogue.check_knobs,
        Doors(config, catalogue).check,
        lambda: check_exposure(config.http.host, config.auth, config.http.insecure),
        lambda: tls_context(config.http.tls),
        lambda: config.http.metrics_listen is not None and host_and_port(config.http.metrics_listen),
    ):
        try:
            check()
        except SoundstageError as error:
            found.append(error)
    if engines is not None:
        found += _namespaces(config, Declarations(catalogue, engines, config.defaults))
    # What is wrong with a system shows again in each of its namespaces.
    return list({(problem.field, problem.detail): problem for problem in found}.values())


def _namespaces(config: StageConfig, declarations: Declarations) -> list[SoundstageError]:
    found: list[SoundstageError] = []
    for name, declaration in config.namespaces.items():
        try:
            declarations.check(spec_of(name, declaration), f"namespaces.{name}")
        except SoundstageError as error:
            found.append(error)
    return found


_NOT_THERE = cast("Any", None)
"""What stands on engines, of which none is open."""


class Contexts:
    """What services are given that are opened only to be asked; they may ask for engines by name."""

    def __init__(self, config: StageConfig, environment: Environment) -> None:
        self._environment = environment
        self._registry = Registry(Admission(config.admission, environment))
        self._compute = Compute(config.compute, environment)
        self.caches: Caches = _NOT_THERE
        self.logs: Logs = _NOT_THERE
        self.searches: Searches = _NOT_THERE
        self.blobs: BlobStores = _NOT_THERE

    def __call__(self, name: str, config: Any) -> ServiceContext:
        return ServiceContext(
            environment=self._environment,
            clock=TokenClock(self._environment),
            page_tokens=PageTokens(KeyRing.generate(self._environment), self._environment),
            namespaces=self._registry.of(name),
            compute=self._compute,
            files=_NOT_THERE,
            leases=_NOT_THERE,
            schedule=_NOT_THERE,
            logs=self.logs,
            caches=self.caches,
            searches=self.searches,
            blobs=self.blobs,
            table=_NOT_THERE,
            used=_NOT_THERE,
            stored=_NOT_THERE,
            truncations=_NOT_THERE,
            config=config,
        )
