"""The embedded engine under the suite that every engine passes, with and without waiting for the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines.records.opened import on_disk

from soundstage.engines.records.port import Capability
from soundstage.testing.records import OpenEngine, RecordsSuite

ALWAYS = frozenset(
    {
        Capability.CONDITIONAL,
        Capability.STATISTICS,
        Capability.CHECKPOINT,
        Capability.TRANSFER,
        Capability.BULK,
        Capability.ATOMIC_WITH_LOG,
    }
)


@pytest.mark.slow
class TestGroup(RecordsSuite):
    capabilities = ALWAYS | {Capability.DURABLE}

    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        return on_disk(tmp_path, "group")


class TestOs(RecordsSuite):
    capabilities = ALWAYS
    conditional = True

    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        return on_disk(tmp_path, "os")
