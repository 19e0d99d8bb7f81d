from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.data.kv.resp.conversation import Conversation, House, housed

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.namespaces.api import Namespaces


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=5)


@pytest.fixture
async def house(environment: VirtualEnvironment) -> AsyncIterator[House]:
    """A stage with a door to `resp` and, as database 1, to `plain`, which takes no conditional writes."""
    async with housed(environment, {"databases": {"1": "plain"}}) as house:
        spec = NamespaceSpec(name="plain", abstraction="kv", config={"conditional_writes": False})
        await house.stage.client(Namespaces).delete(name="plain")
        await house.stage.client(Namespaces).put(namespace=spec)
        yield house


@pytest.fixture
async def talk(house: House) -> Conversation:
    return house.talk()


@pytest.fixture
async def plain(house: House) -> Conversation:
    """A connection to the namespace without conditional writes."""
    talk = house.talk()
    assert await talk.ask("SELECT", 1) == "OK"
    return talk
