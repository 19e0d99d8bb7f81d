from __future__ import annotations

import asyncio

from tests.surface.http.wire import until

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.time import Duration
from soundstage.runtime.config import HttpConfig
from soundstage.surface.http.clock import ROUND_MAX_S, ROUND_MIN_S, SLICE, ServerClock


class Connection:
    """Notes when it was looked at."""

    def __init__(self) -> None:
        self.looks: list[float] = []

    def check_time(self, now: float) -> None:
        self.looks.append(now)


async def rounds(clock: ServerClock, connections: list[Connection], count: int) -> None:
    """That many looks at the first connection."""
    running = asyncio.create_task(clock.run(lambda: connections))
    await until(lambda: len(connections[0].looks) >= count)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_the_date_is_a_header_line() -> None:
    clock = ServerClock(VirtualEnvironment(start_ns=1_700_000_000_000_000_000), HttpConfig())
    assert clock.date == b"date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"


async def test_the_date_goes_on_with_the_rounds() -> None:
    clock = ServerClock(VirtualEnvironment(start_ns=1_700_000_000_000_000_000), HttpConfig())
    await rounds(clock, [Connection()], 5)
    assert clock.date >= b"date: Tue, 14 Nov 2023 22:13:25 GMT\r\n"


async def test_every_connection_is_looked_at_in_a_round() -> None:
    connections = [Connection() for _ in range(SLICE * 2 + 1)]
    await rounds(ServerClock(VirtualEnvironment(), HttpConfig()), connections, 2)
    assert all(connection.looks for connection in connections)


async def test_others_have_their_turn_within_a_long_round() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    connections = [Connection() for _ in range(SLICE * 3)]
    clock = ServerClock(VirtualEnvironment(), HttpConfig())
    running = [asyncio.create_task(other()), asyncio.create_task(clock.run(lambda: connections))]
    await until(lambda: connections[0].looks)
    before = turns
    await until(lambda: connections[-1].looks)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert turns - before >= 2


async def test_connections_that_come_in_a_round_wait_for_the_next() -> None:
    connections = [Connection()]

    class Breeding(Connection):
        def check_time(self, now: float) -> None:
            super().check_time(now)
            connections.append(Connection())

    connections.append(Breeding())
    await rounds(ServerClock(VirtualEnvironment(), HttpConfig()), connections, 3)
    assert len(connections) <= 5


async def test_rounds_are_as_far_apart_as_the_shortest_time_out_allows() -> None:
    apart: list[float] = []

    class Noting(VirtualEnvironment):
        async def sleep(self, seconds: float) -> None:
            apart.append(seconds)
            await super().sleep(seconds)

    short, shortest = Duration(200_000_000), Duration(10_000_000)
    for limits in (HttpConfig(), HttpConfig(body_timeout=short), HttpConfig(idle_timeout=shortest)):
        await rounds(ServerClock(Noting(), limits), [Connection()], 1)
    assert sorted(set(apart), reverse=True) == [ROUND_MAX_S, 0.05, ROUND_MIN_S]


async def test_looks_are_told_the_time_of_the_loop() -> None:
    connection = Connection()
    began = asyncio.get_running_loop().time()
    await rounds(ServerClock(VirtualEnvironment(), HttpConfig()), [connection], 1)
    assert began <= connection.looks[0] <= asyncio.get_running_loop().time()
