from __future__ import annotations

import pytest

from soundstage.core.environment import Environment
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records
from soundstage.testing.records import OpenEngine


def memory_opener(engine: type[MemoryRecords] = MemoryRecords) -> OpenEngine:
    """Opens engines that are kept by name, as folders are."""
    kept: dict[str, MemoryRecords] = {}

    async def open_engine(environment: Environment, store: str = "store") -> Records:
        opened = kept.setdefault(store, engine(environment))
        await opened.start()
        return opened

    return open_engine


@pytest.fixture
def open_memory() -> OpenEngine:
    return memory_opener()
