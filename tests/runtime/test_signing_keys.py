from __future__ import annotations

import msgspec
import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.core.hlc import TokenClock
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.signing_keys import ANNOUNCED_US, SigningKeys
from soundstage.runtime.system_table import SystemTable

DAY = 86_400
ROTATION_US = 2 * DAY * 1_000_000
BINDING = b"request"


class State(msgspec.Struct):
    place: int


@pytest.fixture
async def table(environment: VirtualEnvironment) -> SystemTable:
    engine = MemoryRecords(environment)
    await engine.start()
    table = SystemTable(engine, "keys", TokenClock(environment), environment)
    await table.create()
    return table


@pytest.fixture
def processes(table: SystemTable, environment: VirtualEnvironment) -> list[SigningKeys]:
    return [SigningKeys(table, environment, ROTATION_US) for _ in range(2)]


async def test_all_processes_share_the_keys(processes: list[SigningKeys]) -> None:
    first, second = [await keys.load() for keys in processes]
    assert second.open(first.seal("k", BINDING, State(7)), "k", BINDING, State).place == 7


async def test_keys_survive_a_restart(processes: list[SigningKeys]) -> None:
    before = await processes[0].load()
    again = await processes[0].load()
    assert again.keys == before.keys


async def test_a_young_key_is_kept(processes: list[SigningKeys], environment: VirtualEnvironment) -> None:
    tokens = await processes[0].load()
    ring = tokens.keys
    environment.advance(DAY)
    await processes[0].turn()
    assert tokens.keys == ring


async def test_a_new_key_is_known_to_all_before_any_uses_it(
    processes: list[SigningKeys], environment: VirtualEnvironment
) -> None:
    first, second = [await keys.load() for keys in processes]
    old = first.keys.keys[0]
    environment.advance(2 * DAY)
    for keys in processes:
        await keys.turn()
    assert first.keys.keys[0] == second.keys.keys[0] == old
    assert len(first.keys.keys) == len(second.keys.keys) == 2
    environment.advance(ANNOUNCED_US / 1e6)
    await processes[0].turn()
    assert first.keys.keys[0] != old
    assert second.open(first.seal("k", BINDING, State(7)), "k", BINDING, State).place == 7


async def test_a_token_outlives_the_rotation(processes: list[SigningKeys], environment: VirtualEnvironment) -> None:
    tokens = await processes[0].load()
    environment.advance(2 * DAY)
    token = tokens.seal("k", BINDING, State(7))
    await processes[0].turn()
    environment.advance(ANNOUNCED_US / 1e6)
    await processes[0].turn()
    assert tokens.open(token, "k", BINDING, State).place == 7


async def test_the_next_rotation_starts_anew(processes: list[SigningKeys], environment: VirtualEnvironment) -> None:
    tokens = await processes[0].load()
    signers: list[bytes] = []
    for _ in range(3):
        environment.advance(2 * DAY)
        await processes[0].turn()
        environment.advance(ANNOUNCED_US / 1e6)
        await processes[0].turn()
        signers.append(tokens.keys.keys[0].number)
    assert len(set(signers)) == 3


async def test_two_processes_that_rotate_at_once_end_with_one_ring(
    processes: list[SigningKeys], environment: VirtualEnvironment
) -> None:
    first, second = [await keys.load() for keys in processes]
    environment.advance(2 * DAY)
    for _ in range(2):
        for keys in processes:
            await keys.turn()
        environment.advance(ANNOUNCED_US / 1e6)
    for keys in processes:
        await keys.turn()
    assert first.keys == second.keys


async def test_a_foreign_stages_token_is_refused(processes: list[SigningKeys], environment: VirtualEnvironment) -> None:
    tokens = await processes[0].load()
    engine = MemoryRecords(environment)
    await engine.start()
    other = SystemTable(engine, "keys", TokenClock(environment), environment)
    await other.create()
    foreign = await SigningKeys(other, environment, ROTATION_US).load()
    with pytest.raises(InvalidArgument):
        tokens.open(foreign.seal("k", BINDING, State(7)), "k", BINDING, State)
