from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.records.rocksdb.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
async def store(folder: str) -> AsyncIterator[Store]:
    """An engine in a folder, with an unconditional table."""
    opened = Store(folder)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def conditional(folder: str) -> AsyncIterator[Store]:
    """The same with a conditional table."""
    opened = Store(folder, conditional=True)
    await opened.open()
    yield opened
    await opened.close()
