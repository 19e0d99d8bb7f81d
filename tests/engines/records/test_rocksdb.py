"""The embedded engine under the suite that every engine passes, with and without waiting for the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.environment import Environment
from soundstage.core.size import Size
from soundstage.engines.records.port import Capability, Records
from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb
from soundstage.engines.rocks.options import Durability
from soundstage.testing.records import OpenEngine, RecordsSuite

ALWAYS = frozenset({Capability.CONDITIONAL, Capability.STATISTICS, Capability.CHECKPOINT})
SMALL = Size(1 << 20)


def opened(folder: Path, durability: Durability) -> OpenEngine:
    """Opens databases below `folder`."""

    async def open_engine(environment: Environment, store: str = "store") -> Records:
        options = RocksOptions(durability=durability, cache=SMALL, low_water=SMALL)
        engine = open_rocksdb(str(folder / store), options, environment)
        await engine.start()
        return engine

    return open_engine


@pytest.mark.slow
class TestGroup(RecordsSuite):
    capabilities = ALWAYS | {Capability.DURABLE}

    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        return opened(tmp_path, "group")


class TestOs(RecordsSuite):
    capabilities = ALWAYS
    conditional = True

    @pytest.fixture
    def open_engine(self, tmp_path: Path) -> OpenEngine:
        return opened(tmp_path, "os")
