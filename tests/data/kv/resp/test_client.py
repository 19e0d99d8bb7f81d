"""What a connection is to the commands."""

from __future__ import annotations

import pytest
from tests.data.kv.resp.conversation import House, housed

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv.resp.client import Client
from soundstage.data.kv.resp.faults import CommandError


@pytest.fixture
async def client(house: House) -> Client:
    return Client(house.door, 7, "here")


async def test_without_authentication_it_is_the_owner(client: Client) -> None:
    assert client.session is not None
    assert client.session.principal.name == "local"
    assert client.space.namespace == "resp"


async def test_with_it_there_is_no_space_before(environment: VirtualEnvironment) -> None:
    async with housed(environment, auth={"mode": "tokens"}) as house:
        client = Client(house.door, 7, "here")
        assert client.session is None
        with pytest.raises(CommandError, match="NOAUTH"):
            _ = client.space


async def test_another_database_is_another_space(client: Client) -> None:
    before = client.space
    client.select(1)
    assert (client.space is before, client.space.namespace) == (False, "plain")
    assert client.space is client.space


async def test_a_database_that_is_not_there_changes_nothing(client: Client) -> None:
    with pytest.raises(CommandError):
        client.select(9)
    assert (client.database, client.space.namespace) == (0, "resp")


async def test_nothing_is_said_in_the_version_that_is_spoken(client: Client) -> None:
    assert client.null == b"$-1\r\n"
    client.speak(3)
    assert client.null == b"_\r\n"


async def test_a_reset_is_the_beginning(client: Client) -> None:
    client.name, client.ends = "me", True
    client.select(1)
    client.speak(3)
    client.reset()
    assert (client.name, client.ends, client.database, client.protocol, client.number) == ("", False, 0, 2, 7)
