"""The memory engine, which is the specification, under the suite that every engine passes."""

from __future__ import annotations

import pytest
from tests.engines.log.opened import in_memory

from soundstage.engines.log.port import LogCapability
from soundstage.testing.log import LogSuite, OpenLog


class TestMemory(LogSuite):
    capabilities = frozenset(LogCapability) - {
        LogCapability.DURABLE,
        LogCapability.CHECKPOINT,
        LogCapability.ATOMIC_WITH_LOG,
        LogCapability.SHARED,
        LogCapability.HOSTED,
    }

    @pytest.fixture
    def open_log(self) -> OpenLog:
        return in_memory()
