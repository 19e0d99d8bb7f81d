from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from tests.client.stand_in import Answer, FarEnd

from soundstage.client import Connection, Settings, connect
from soundstage.core.environment import VirtualEnvironment

Meet = Callable[..., tuple[Connection, FarEnd]]

URL = "http://stage.test"


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=11)


@pytest.fixture
async def meet(environment: VirtualEnvironment) -> AsyncIterator[Meet]:
    """Makes a connection whose far end gives the answers, on a virtual clock."""
    made: list[Connection] = []

    def meet(*answers: Answer, settings: Settings | None = None) -> tuple[Connection, FarEnd]:
        far = FarEnd(*answers)
        connection = connect(URL, settings=settings, environment=environment, transport=far)
        made.append(connection)
        return connection, far

    yield meet
    for connection in made:
        await connection.close()
