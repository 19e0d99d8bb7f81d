"""What the connections of a door share."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.kv.resp.conversation import House, housed

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.data.kv.resp.faults import CommandError
from soundstage.runtime.stage import Stage


async def test_the_namespaces_of_its_databases_are_made(environment: VirtualEnvironment) -> None:
    async with housed(environment, {"namespace": "mine", "databases": {"3": "yours", "5": "mine"}}) as house:
        assert {"mine", "yours"} <= set(house.stage.namespaces.applied.infos)
        assert [house.door.namespace_of(number) for number in (0, 3, 5)] == ["mine", "yours", "mine"]
        assert house.door.databases == 6


async def test_one_that_is_not_configured_is_out_of_range(house: House) -> None:
    with pytest.raises(CommandError, match="out of range"):
        house.door.namespace_of(7)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1024", "01x"])
async def test_what_is_no_number_of_a_database_is_refused(number: str) -> None:
    doors: dict[str, Any] = {"resp": {"listen": "127.0.0.1:0", "databases": {number: "x"}}}
    async with Stage.open(config={"doors": doors}, data="memory:") as stage:
        with pytest.raises(InvalidArgument, match="no number of a database"):
            await stage.open_doors()


async def test_connections_have_numbers(house: House) -> None:
    first, second = house.talk(), house.talk()
    assert await second.ask("CLIENT", "ID") == await first.ask("CLIENT", "ID") + 1


async def test_the_namespace_takes_conditional_writes(house: House) -> None:
    assert await house.talk().ask("SETNX", "a", "1") == 1
