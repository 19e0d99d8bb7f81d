"""The namespaces as this process applies them: one look-up per call, replaced whole on every change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from soundstage.core.errors import NotFound, Unavailable
from soundstage.core.names import nearest
from soundstage.core.namespace import NamespaceInfo
from soundstage.engines.records.port import Stamp
from soundstage.runtime.admission import Admission, Gate
from soundstage.runtime.service import Earlier, NamespaceView


class AbstractionViews:
    """The namespaces of one abstraction, as its service asks for them."""

    __slots__ = ("_abstraction", "_registry", "views")

    def __init__(self, abstraction: str, registry: Registry) -> None:
        self.views: dict[str, NamespaceView] = {}
        self._abstraction = abstraction
        self._registry = registry

    def view(self, name: str) -> NamespaceView:
        """The namespace `name`; `NotFound` with the nearest name otherwise."""
        try:
            return self.views[name]
        except KeyError:
            raise self._registry.missing(name, self._abstraction) from None

    def all(self) -> list[NamespaceView]:
        """Every namespace that is served."""
        return list(self.views.values())

    def take_writes(self, counts: Mapping[str, int]) -> None:
        """So many writes count against the quotas of these namespaces, all or none. Raises `Exhausted`."""
        self._registry.admission.take_writes(counts)


class Unserved(NamedTuple):
    """A namespace that is stored and that this process cannot serve; `cure` is what to do about it."""

    info: NamespaceInfo
    reason: str
    cure: str

    @property
    def problem(self) -> str:
        """Both as one line."""
        return f"{self.reason} ({self.cure})"

    def __str__(self) -> str:
        return f"namespace {self.info.name!r} cannot be served: {self.problem}"


class Registry:
    """What is applied. Changed by the control plane only; `admission` gets a gate per namespace."""

    def __init__(self, admission: Admission) -> None:
        self.infos: dict[str, NamespaceInfo] = {}
        self.unserved: dict[str, Unserved] = {}
        self.admission: Admission = admission
        self._by_abstraction: dict[str, AbstractionViews] = {}

    def of(self, abstraction: str) -> AbstractionViews:
        """The views of one abstraction; the same object every time."""
        views = self._by_abstraction.get(abstraction)
        if views is None:
            views = self._by_abstraction[abstraction] = AbstractionViews(abstraction, self)
        return views

    def apply(self, info: NamespaceInfo, view: NamespaceView) -> None:
        """Calls that begin from here on see `view`."""
        gate = self.admission.gates.get(info.name)
        if gate is None:
            gate = Gate(info.name, info.quotas, self.admission.config)
        else:
            gate.adjust(info.quotas, self.admission.config)
        self.forget(info.name, keep_gate=True)
        self.infos[info.name] = info
        self.of(info.abstraction).views[info.name] = view
        self.admission.gates[info.name] = gate

    @property
    def known(self) -> dict[str, NamespaceInfo]:
        """Every namespace as stored, whether it is served or not."""
        if not self.unserved:
            return self.infos
        return {**self.infos, **{name: each.info for name, each in self.unserved.items()}}

    def refuse(self, unserved: Unserved) -> None:
        """Calls get `Unavailable` with the reason: what is stored cannot be applied by this process."""
        self.forget(unserved.info.name)
        self.unserved[unserved.info.name] = unserved

    def forget(self, name: str, keep_gate: bool = False) -> None:
        """The namespace is not known (any more)."""
        self.unserved.pop(name, None)
        info = self.infos.pop(name, None)
        if info is not None:
            self.of(info.abstraction).views.pop(name, None)
        if not keep_gate:
            self.admission.gates.pop(name, None)

    def missing(self, name: str, abstraction: str) -> NotFound | Unavailable:
        """Why there is no such namespace of `abstraction`."""
        unserved = self.unserved.get(name)
        if unserved is not None:
            return Unavailable(
                f"namespace {name!r} cannot be served here: {unserved.reason}",
                hint=unserved.cure,
                outcome="not_applied",
            )
        info = self.infos.get(name)
        if info is not None:
            return NotFound(
                f"namespace {name!r} is of the abstraction {info.abstraction!r}, not {abstraction!r}",
                field="namespace",
                hint=f"call the system {info.abstraction!r}, or name another namespace",
            )
        close = nearest(name, self.of(abstraction).views)
        hint = f"did you mean {close!r}?" if close else "create it with namespaces/put"
        return NotFound(f"there is no namespace {name!r}", field="namespace", hint=hint)


def view_of(
    info: NamespaceInfo, config: Any, records: Any, earlier: tuple[Earlier, ...], truncated: Stamp | None = None
) -> NamespaceView:
    """What services are shown of a namespace."""
    return NamespaceView(
        name=info.name,
        abstraction=info.abstraction,
        version=info.version,
        generation=info.generation,
        config=config,
        slos=info.slos,
        records=records,
        created_at=info.created_at,
        updated_at=info.updated_at,
        earlier=earlier,
        truncated=truncated,
    )
