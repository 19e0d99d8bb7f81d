"""The suite over an engine whose modules the run is given; not collected by itself."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from soundstage.core.environment import Environment
from soundstage.engines.log.port import Log, LogCapability
from soundstage.testing.log import LogSuite, OpenLog
from soundstage.testing.log.suite import waits


class TestSubject(LogSuite):
    capabilities = frozenset(LogCapability) - {
        LogCapability.DURABLE,
        LogCapability.CHECKPOINT,
        LogCapability.ATOMIC_WITH_LOG,
        LogCapability.SHARED,
        LogCapability.HOSTED,
    }

    @pytest.fixture(autouse=True)
    def patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Engines that wake nobody are many here, and all are in this process."""
        monkeypatch.setattr(waits, "WOKEN_WITHIN_S", 1.0)

    @pytest.fixture
    def open_log(self, engine_module: ModuleType, tmp_path: Path) -> OpenLog:
        """A memory engine or a database, whichever the module has."""
        kept: dict[str, Log] = {}

        def made(environment: Environment, store: str) -> Log:
            if hasattr(engine_module, "MemoryLog"):
                return kept.setdefault(store, engine_module.MemoryLog(environment))
            options = engine_module.RocksOptions(durability="os", cache=1 << 20, low_water=1 << 20)
            return engine_module.open_rocksdb_log(str(tmp_path / store), options, environment)

        async def open_log(environment: Environment, store: str = "store") -> Log:
            engine = made(environment, store)
            await engine.start()
            return engine

        return open_log
