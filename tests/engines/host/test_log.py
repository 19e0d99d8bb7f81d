"""The log of another process under the suite that every engine passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines.host.hosted import Hosted
from tests.engines.log.opened import SMALL

from soundstage.core.environment import Environment
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Log, LogCapability
from soundstage.engines.log.rocksdb import RocksOptions, open_rocksdb_log
from soundstage.testing.log import LogSuite, OpenLog


@pytest.mark.slow
class TestMemory(LogSuite):
    capabilities = frozenset(LogCapability) - {
        LogCapability.DURABLE,
        LogCapability.CHECKPOINT,
        LogCapability.ATOMIC_WITH_LOG,
        LogCapability.SHARED,
    }

    @pytest.fixture
    def open_log(self, tmp_path: Path) -> OpenLog:
        kept: dict[str, MemoryLog] = {}

        async def open_log(environment: Environment, store: str = "store") -> Log:
            engine = kept.setdefault(store, MemoryLog(environment))
            hosted = Hosted(engine, "log", tmp_path / f"{store}-host", environment)
            await hosted.start()
            return hosted  # pyright: ignore[reportReturnType]

        return open_log


@pytest.mark.slow
class TestRocks(LogSuite):
    capabilities = frozenset(
        {
            LogCapability.TOKEN_DEDUP,
            LogCapability.STATISTICS,
            LogCapability.GROUPS,
            LogCapability.TRANSACTIONS,
            LogCapability.EXACT,
            LogCapability.CHECKPOINT,
            LogCapability.DURABLE,
            LogCapability.HOSTED,
        }
    )

    @pytest.fixture
    def open_log(self, tmp_path: Path) -> OpenLog:
        async def open_log(environment: Environment, store: str = "store") -> Log:
            options = RocksOptions(cache=SMALL, low_water=SMALL)
            engine = open_rocksdb_log(str(tmp_path / store), options, environment)
            hosted = Hosted(engine, "log", tmp_path / f"{store}-host", environment)
            await hosted.start()
            return hosted  # pyright: ignore[reportReturnType]

        return open_log
