from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.runtime.conftest import NOTES, make

from soundstage.catalogue import SYSTEMS
from soundstage.runtime.stage import Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage in memory with the system `notes` and its namespace `home`."""
    async with Stage.open(data="memory:", systems=(*SYSTEMS, NOTES)) as stage:
        await make(stage)
        yield stage
