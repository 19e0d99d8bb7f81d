from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.demo.sample import sample

from soundstage.client import Connection, connect
from soundstage.demo.history import History
from soundstage.demo.loading import prepare
from soundstage.runtime.stage import Stage
from soundstage.surface.http.server import Server


@pytest.fixture
def history(tmp_path: Path) -> History:
    return sample(tmp_path)


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    """A connection to a stage in memory that serves on a socket, with the demo's namespaces."""
    async with Stage.open(data="memory:", config={"http": {"port": 0}}, variables={}) as stage:
        server = Server(stage, stage.config.http)
        url = await server.start()
        async with connect(url) as connection:
            await prepare(connection)
            yield connection
        await server.stop()
