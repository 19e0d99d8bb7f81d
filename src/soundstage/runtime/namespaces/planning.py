"""Plans of namespaces: what the stage has, what the abstraction says it needs, and what others would rent."""

from __future__ import annotations

import os
import shutil

from soundstage.core.errors import InvalidArgument
from soundstage.core.limits import check_namespace
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.provisioning import Design, Excuse, Ground, Terrain
from soundstage.runtime.bounds import check_bounds
from soundstage.runtime.compute import Compute
from soundstage.runtime.control.declaration import DEFAULT_ENGINE, PORTS
from soundstage.runtime.namespaces.api import NamespacePlan, PlanNamespace, PlannedNamespace
from soundstage.runtime.namespaces.second_opinion import second_opinion
from soundstage.runtime.service import Modelled, Planned
from soundstage.runtime.transfer.reach import Administered

RECORDS = PORTS[0]


class NamespacePlanning:
    """Answers `NamespacesCalls.plan`."""

    def __init__(self, administered: Administered, compute: Compute) -> None:
        self._control = administered.control
        self._systems = administered.systems
        self._engines = administered.engines
        self._first = administered.bound.get(RECORDS, DEFAULT_ENGINE)
        self._thread = compute.thread

    async def plan(self, request: PlanNamespace) -> NamespacePlan:
        """Raises `InvalidArgument` for what no namespace could be, `Unavailable` where nobody can be asked."""
        check_namespace(request.name, "name")
        planned = self._planned(request.abstraction)
        check_bounds(request.workload, "workload.")
        terrain = await self._thread(self._terrain, request.engine)
        found = planned.plan(request.workload, terrain)
        opinion = None
        if request.second_opinion:
            arguments = planned.capacity_arguments(request.workload) if isinstance(planned, Modelled) else None
            opinion = await self._thread(
                second_opinion, planned.capacity_model, request.workload, request.region, arguments
            )
        if isinstance(found, Excuse):
            return NamespacePlan(excuse=found, second_opinion=opinion)
        return NamespacePlan(plan=self._plan(request, found), second_opinion=opinion)

    def _plan(self, request: PlanNamespace, design: Design) -> PlannedNamespace:
        spec = NamespaceSpec(
            name=request.name,
            abstraction=request.abstraction,
            engines={RECORDS: design.engine},
            config=design.config,
            slos=request.workload.slos or None,
            quotas=design.quotas,
        )
        # What is planned is what `put` would take.
        self._control.check(spec, "workload")
        return PlannedNamespace(
            namespace=spec,
            storage_bytes=design.storage_bytes,
            processes=design.processes,
            cached=design.cached,
            reasons=design.reasons,
        )

    def _planned(self, abstraction: str) -> Planned:
        service = self._systems.abstraction(abstraction, "abstraction")
        if isinstance(service, Planned):
            return service
        raise InvalidArgument(
            f"the system {abstraction!r} makes no plans", field="abstraction", hint="plan for one that does, such as kv"
        )

    def _terrain(self, only: str | None) -> Terrain:
        names = list(self._engines.distinct()) if only is None else [only]
        names.sort(key=lambda name: name != self._first)
        return Terrain(tuple(map(self._ground, names)), len(os.sched_getaffinity(0)))

    def _ground(self, name: str) -> Ground:
        engine = self._engines.get(name, "engine")
        folder = self._engines.folder(name)
        free = None if folder is None else shutil.disk_usage(folder).free
        return Ground(name, self._engines.scheme(name), frozenset(engine.capabilities), free)
