"""Checks a declared namespace and completes it: with the stage's defaults, its engine and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from soundstage.core.codec import convert, json_encode
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.core.limits import check_namespace
from soundstage.core.names import nearest
from soundstage.core.namespace import NamespaceInfo, NamespaceSpec, Objective, Quotas
from soundstage.core.time import Duration
from soundstage.engines.records.port import Capability, Records, TableSpec
from soundstage.runtime.access import EVERY_FILE
from soundstage.runtime.admission import Gate
from soundstage.runtime.bounds import check_bounds
from soundstage.runtime.config import AdmissionConfig, NamespaceDeclaration, NamespaceDefaults
from soundstage.runtime.engines import Engines
from soundstage.runtime.systems import Systems

PORTS = ("records",)
"""What a namespace binds engines to."""

DEFAULT_ENGINE = "default"

MEND = "put it as it should be, or delete it"
"""What can always be done about a namespace that cannot be served."""

FIXED = {"conditional": "conditional_writes", "key_order": "key_order", "dedicated": "dedicated"}
"""What of a table is fixed at creation, and the knob that decides it."""

FIXED_WHERE_DECIDED = {"scope": "consistency_scope"}
"""The same of tables that take conditions: who decides by all copies and who by some do not hear of one another."""


class Declared(NamedTuple):
    """A namespace that may be stored. `knobs` is `config` as plain values, complete."""

    spec: NamespaceSpec
    engines: dict[str, str]
    knobs: dict[str, Any]
    slos: dict[str, Objective]
    quotas: Quotas
    config: Any
    records: Records
    tables: Sequence[TableSpec]

    @property
    def fixed(self) -> frozenset[str]:
        """The knobs that no change touches, besides those that its tables tell: `FIXED` of the `NamespaceConfig`."""
        return getattr(self.config, "FIXED", frozenset())

    @property
    def lingering(self) -> frozenset[str]:
        """The knobs whose old forms count for a while: `LINGERING` of the abstraction's `NamespaceConfig`."""
        return getattr(self.config, "LINGERING", frozenset())


class Remains(NamedTuple):
    """What there is of a namespace to drop; `left` says what is out of reach and stays."""

    records: Records | None
    tables: list[str]
    left: str | None = None


class Declarations:
    """Completes declarations for one stage. `field` of its errors is the path within a request to `put`."""

    def __init__(self, systems: Systems, engines: Engines, defaults: NamespaceDefaults) -> None:
        self._systems = systems
        self._engines = engines
        self._defaults = defaults

    def check(self, spec: NamespaceSpec, at: str = "namespace") -> Declared:
        """`spec` complete. Raises `InvalidArgument` naming what is wrong and the nearest valid name."""
        if spec.name == EVERY_FILE:
            raise InvalidArgument(
                f"no namespace may be called {EVERY_FILE!r}: grants on this name are grants on all files",
                field=f"{at}.name",
                hint="give it another name",
            )
        return self._completed(spec, at)

    def _completed(self, spec: NamespaceSpec, at: str) -> Declared:
        check_namespace(spec.name, f"{at}.name")
        knobs_type = self._knobs_type(spec.abstraction, f"{at}.abstraction")
        config = _knobs(spec.config or {}, knobs_type, f"{at}.config")
        engines = self._bindings(spec.engines, f"{at}.engines")
        slos = self._defaults.slos if spec.slos is None else spec.slos
        self._check_objectives(spec.abstraction, slos, f"{at}.slos")
        quotas = self._defaults.quotas if spec.quotas is None else spec.quotas
        check_bounds(quotas, f"{at}.quotas.")
        # What cannot bound calls is refused here, and not found by everybody who applies it.
        Gate(spec.name, quotas, AdmissionConfig())
        records = self._engines.get(engines["records"], f"{at}.engines.records")
        tables = self._tables(spec, config, records, at)
        knobs: dict[str, Any] = msgspec.json.decode(json_encode(config))
        return Declared(spec, engines, knobs, dict(slos), quotas, config, records, tables)

    def stored(self, info: NamespaceInfo) -> Declared:
        """The declaration of a stored namespace; knobs that a newer release stored are ignored."""
        known = self.known_knobs(info.abstraction)
        spec = NamespaceSpec(
            name=info.name,
            abstraction=info.abstraction,
            engines=info.engines,
            config={name: value for name, value in info.config.items() if name in known},
            slos=info.slos,
            quotas=info.quotas,
        )
        return self._completed(spec, "namespace")

    async def remains(self, info: NamespaceInfo) -> Remains:
        """What there is to drop of a stored namespace, also of one that cannot be served.

        Without its system only what is called `abstraction/name`, or stands below that, is known to be its own. What
        stands there is its own in any case: its system may have made more tables than it began with.
        """
        try:
            declared = self.stored(info)
        except SoundstageError:
            return await self._found(info)
        tables = [table.name for table in declared.tables]
        return Remains(declared.records, list(dict.fromkeys([*tables, *await below(info, declared.records)])))

    async def _found(self, info: NamespaceInfo) -> Remains:
        engine = info.engines.get(PORTS[0], DEFAULT_ENGINE)
        try:
            records = self._engines.get(engine, f"engines.{engine}")
        except InvalidArgument:
            return Remains(None, [], f"its tables in the engine {engine!r}, which the stage file does not have")
        tables = await below(info, records)
        if tables:
            return Remains(records, tables)
        own = f"{info.abstraction}/{info.name}"
        return Remains(records, [], f"whatever its tables in the engine {engine!r} are called: none is called {own}")

    def known_knobs(self, abstraction: str) -> tuple[str, ...]:
        """The names of an abstraction's knobs in this release."""
        return self._knobs_type(abstraction, "namespace.abstraction").__struct_fields__

    def config(self, abstraction: str, knobs: Mapping[str, Any]) -> Any:
        """The configuration struct of stored `knobs`; those that a newer release stored are ignored."""
        knobs_type = self._knobs_type(abstraction, "namespace.abstraction")
        known = set(knobs_type.__struct_fields__)
        return convert({name: value for name, value in knobs.items() if name in known}, knobs_type)

    def _knobs_type(self, abstraction: str, field: str) -> type[Any]:
        found = self._systems.namespace_config(abstraction) if abstraction in self._systems.catalogue else None
        if found is not None:
            return found
        known = self._systems.abstractions()
        close = nearest(abstraction, known)
        hint = f"did you mean {close!r}?" if close else f"abstractions are {', '.join(known)}"
        raise InvalidArgument(f"there is no abstraction {abstraction!r}", field=field, hint=hint)

    def _bindings(self, given: Mapping[str, str] | None, field: str) -> dict[str, str]:
        bindings = self._defaults.engines if given is None else {**self._defaults.engines, **given}
        for port in bindings:
            if port not in PORTS:
                close = nearest(port, PORTS)
                hint = f"did you mean {close!r}?" if close else f"ports are {', '.join(PORTS)}"
                raise InvalidArgument(f"there is no port {port!r}", field=f"{field}.{port}", hint=hint)
        return {port: bindings.get(port, DEFAULT_ENGINE) for port in PORTS}

    def _check_objectives(self, abstraction: str, slos: Mapping[str, Objective], field: str) -> None:
        known = ["read", "write", *self._systems.operations(abstraction)]
        for name, objective in slos.items():
            if name not in known:
                close = nearest(name, known)
                hint = f"did you mean {close!r}?" if close else f"objectives are for {', '.join(known)}"
                raise InvalidArgument(f"there is no operation {name!r}", field=f"{field}.{name}", hint=hint)
            check_bounds(objective, f"{field}.{name}.")
            target, most = objective.latency.target, objective.latency.max
            if target is not None and most is not None and target > most:
                raise InvalidArgument(
                    f"the target {Duration(target)} is above the maximum {Duration(most)}",
                    field=f"{field}.{name}.latency.target",
                    hint="the target is what most calls take, the maximum what none may exceed",
                )

    def _tables(self, spec: NamespaceSpec, config: Any, records: Records, at: str) -> Sequence[TableSpec]:
        abstraction = self._systems.abstraction(spec.abstraction, f"{at}.abstraction")
        try:
            tables = abstraction.tables(spec.name, config, frozenset(records.capabilities))
        except InvalidArgument as error:
            raise _within(error, f"{at}.config") from None
        for table in tables:
            if table.conditional and Capability.CONDITIONAL not in records.capabilities:
                raise InvalidArgument(
                    f"the engine of namespace {spec.name!r} lacks the capability {Capability.CONDITIONAL.value!r}",
                    field=f"{at}.config.conditional_writes",
                    hint="set conditional_writes to false, or bind another engine",
                )
        return tables


async def below(info: NamespaceInfo, records: Records) -> list[str]:
    """The tables that are called after the namespace, whoever made them."""
    own = f"{info.abstraction}/{info.name}"
    return [each.name for each in await records.tables() if f"{each.name}/".startswith(f"{own}/")]


def spec_of(name: str, declaration: NamespaceDeclaration) -> NamespaceSpec:
    """What the table `[namespaces.NAME]` declares."""
    return NamespaceSpec(
        name=name,
        abstraction=declaration.abstraction,
        engines=declaration.engines,
        config=declaration.config,
        slos=declaration.slos,
        quotas=declaration.quotas,
    )


def cure_of(info: NamespaceInfo, error: SoundstageError) -> str:
    """What to do about a stored namespace that `Declarations.stored` refuses with `error`."""
    if error.field == "namespace.abstraction":
        return f"install or mend the package that adds the system {info.abstraction!r}, or delete the namespace"
    if error.field == "namespace.engines.records":
        return f"add [engines.{info.engines[PORTS[0]]}] to the stage file, or delete the namespace"
    return error.hint or MEND


def check_kept(before: NamespaceInfo, after: Declared) -> None:
    """The same as `check_fixed` for a namespace that cannot be served, whose tables are not known."""
    if before.abstraction != after.spec.abstraction:
        raise _fixed("namespace.abstraction", before.abstraction)
    for port, engine in before.engines.items():
        if after.engines.get(port) != engine:
            raise _fixed(f"namespace.engines.{port}", engine)
    for knob in (*FIXED.values(), *sorted(after.fixed)):
        if knob in before.config and before.config[knob] != after.knobs.get(knob):
            raise _fixed(f"namespace.config.{knob}", before.config[knob])


def check_fixed(before: Declared, after: Declared) -> None:
    """Raise `InvalidArgument` when the change touches what is fixed at creation."""
    if before.spec.abstraction != after.spec.abstraction:
        raise _fixed("namespace.abstraction", before.spec.abstraction)
    for port, engine in before.engines.items():
        if after.engines.get(port) != engine:
            raise _fixed(f"namespace.engines.{port}", engine)
    for knob in sorted(after.fixed):
        if before.knobs.get(knob) != after.knobs.get(knob):
            raise _fixed(f"namespace.config.{knob}", before.knobs.get(knob))
    tables = {table.name: table for table in after.tables}
    for table in before.tables:
        now = tables.get(table.name, table)
        fixed = FIXED | FIXED_WHERE_DECIDED if table.conditional else FIXED
        for part, knob in fixed.items():
            if getattr(table, part) != getattr(now, part):
                raise _fixed(f"namespace.config.{knob}", before.knobs.get(knob, getattr(table, part)))


def _fixed(field: str, value: Any) -> InvalidArgument:
    return InvalidArgument(
        f"{field.removeprefix('namespace.')} is {value!r} since the namespace was created",
        field=field,
        hint="it is fixed at creation: create another namespace and copy",
    )


def _knobs(given: Mapping[str, Any], knobs_type: type[Any], field: str) -> Any:
    try:
        config = convert(given, knobs_type)
        check_bounds(config)
    except InvalidArgument as error:
        raise _within(error, field) from None
    return config


def _within(error: InvalidArgument, field: str) -> InvalidArgument:
    path = field if error.field is None else f"{field}.{error.field}"
    return InvalidArgument(error.detail, field=path, hint=error.hint)
