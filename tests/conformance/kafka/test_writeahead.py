"""Sets of mutations over a real log: accepted there, applied from there, once the positions say so not again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.data.writeahead.conftest import House, mutation

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unavailable
from soundstage.data.writeahead.pieces import PIECE_BYTES
from soundstage.engines.records.memory import MemoryRecords
from soundstage.testing.log import OpenLog

ROUNDS = 1_000
"""Looks at the log, each of which asks the broker."""


@pytest.fixture
async def house(open_log: OpenLog) -> AsyncIterator[House]:
    environment = SystemEnvironment()
    records = MemoryRecords(environment)
    await records.start()
    log = await open_log(environment)
    made = House(environment, records, log)
    await made.ledger.create()
    yield made
    await log.stop()


async def worked_off(house: House, mutation_id: str) -> None:
    for _ in range(ROUNDS):
        if (await house.status(mutation_id)).state == "applied":
            return
        await house.worker.round()
    raise AssertionError(f"{mutation_id} is not applied after {ROUNDS} looks")


async def test_a_set_is_applied_in_its_order(house: House) -> None:
    mutation_id = await house.submit(*[mutation(str(number)) for number in range(20)])
    await worked_off(house, mutation_id)
    assert house.shop.order("t") == list(range(20))


async def test_a_set_of_several_entries_is_applied_whole(house: House) -> None:
    mutation_id = await house.submit(*[mutation(str(number) * (PIECE_BYTES // 2)) for number in range(5)])
    await worked_off(house, mutation_id)
    assert house.shop.order("t") == list(range(5))


async def test_what_was_applied_is_not_read_again_by_another_process(house: House) -> None:
    await worked_off(house, await house.submit(mutation("1")))
    house.restart()
    await worked_off(house, await house.submit(mutation("2"), token="u"))
    assert [token for token, _, _ in house.shop.history] == ["t/0", "u/0"]


async def test_a_repetition_is_applied_once(house: House) -> None:
    time_us = house.environment.now_us()
    first = await house.submit(mutation("1"), time_us=time_us)
    assert await house.submit(mutation("1"), time_us=time_us) == first
    await worked_off(house, first)
    assert house.shop.order("t") == [0]


async def test_a_set_whose_store_is_down_holds_up_no_other(house: House) -> None:
    house.shop.errors["b"] = Unavailable("down")
    waits = await house.submit(mutation("1", "b"), token="waits")
    await worked_off(house, await house.submit(mutation("2"), token="other"))
    assert (await house.status(waits)).state in ("accepted", "pending")
    assert house.shop.values() == {"a": "2"}
