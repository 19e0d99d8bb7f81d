"""The tables that the namespaces of a stage would have, were an engine of theirs another one.

An engine decides what a knob that was left open comes to: conditions are taken by itself where they cost little.
"""

from __future__ import annotations

from contextlib import suppress

from soundstage.catalogue import SYSTEMS
from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.core.hlc import TokenClock
from soundstage.engines.records.port import Records, TableSpec
from soundstage.runtime.checking import Contexts
from soundstage.runtime.config import EngineConfig, StageConfig
from soundstage.runtime.control.declaration import DEFAULT_ENGINE, PORTS, Declarations
from soundstage.runtime.control.store import NamespaceStore
from soundstage.runtime.engines import Engines
from soundstage.runtime.system_table import SystemTable
from soundstage.runtime.systems import Systems


class Housing:
    """What the namespaces bound to the engine called `name` ask of `target`, as it is to take that engine's place.

    `control` is the engine that holds the tables of the stage itself.
    """

    def __init__(
        self, name: str, target: Records, control: Records, config: StageConfig, environment: Environment
    ) -> None:
        table = SystemTable(control, "namespaces", TokenClock(environment), environment)
        kept = config.control
        self._name = name
        self._control = control
        self._table = table.name
        self._store = NamespaceStore(table, kept.history_limit, kept.history_ttl // 1_000)
        engines = Engines({name: EngineConfig(url="memory:")}, config.data, environment, {name: target})
        systems = Systems(SYSTEMS, Contexts(config, environment), config.systems)
        self._declarations = Declarations(systems, engines, config.defaults)

    async def tables(self) -> dict[str, TableSpec]:
        """Tables by name; those of namespaces that cannot be served are left out, and stay as they are."""
        found: dict[str, TableSpec] = {}
        if all(spec.name != self._table for spec in await self._control.tables()):
            return found
        for each in (await self._store.all()).values():
            info = each.stored.info
            if info.engines.get(PORTS[0], DEFAULT_ENGINE) == self._name:
                with suppress(SoundstageError):
                    found |= {table.name: table for table in self._declarations.stored(info).tables}
        return found
