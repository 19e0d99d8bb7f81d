"""The embedded engine under the suite that every engine passes, with and without waiting for the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines.log.opened import on_disk

from soundstage.engines.log.port import LogCapability
from soundstage.testing.log import LogSuite, OpenLog

ALWAYS = frozenset(
    {
        LogCapability.TOKEN_DEDUP,
        LogCapability.STATISTICS,
        LogCapability.GROUPS,
        LogCapability.CHECKPOINT,
        LogCapability.TRANSACTIONS,
        LogCapability.EXACT,
    }
)


@pytest.mark.slow
class TestGroup(LogSuite):
    capabilities = ALWAYS | {LogCapability.DURABLE}

    @pytest.fixture
    def open_log(self, tmp_path: Path) -> OpenLog:
        return on_disk(tmp_path, "group")


class TestOs(LogSuite):
    capabilities = ALWAYS

    @pytest.fixture
    def open_log(self, tmp_path: Path) -> OpenLog:
        return on_disk(tmp_path, "os")
