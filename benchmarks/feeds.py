"""How many followers can a feed have? Changes of a namespace told to a thousand of them, next to Redis.

All follow `namespaces/watch` of one `soundstage up` as lines of JSON; as many are subscribed to one channel of a Redis,
to which as many bytes are published. Needs `apt-get install redis-server`. CPU times are the server process's own.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import cast

import msgspec
import uvloop

from benchmarks.programs import cpu_seconds, need, redis
from benchmarks.report import Figure, figure, options, show
from soundstage.client import connect
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.testing.crash.process import StageProcess

_HEAD = b"POST /v1/namespaces/watch HTTP/1.1\r\nHost: localhost\r\n"
WATCH = _HEAD + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
SUBSCRIBE = b"*2\r\n$9\r\nSUBSCRIBE\r\n$5\r\nbench\r\n"
TOLD_MAX_S = 60.0
CONNECT_AT_ONCE = 100


class Scale(msgspec.Struct, frozen=True):
    """How much is done: `changes`, one after the other, are told to all `followers` in each round."""

    followers: int
    changes: int
    rounds: int


FULL = Scale(followers=1_000, changes=30, rounds=7)
QUICK = Scale(followers=1_000, changes=10, rounds=3)


class Crowd:
    """Connections that count how often `mark` comes."""

    def __init__(self, mark: bytes) -> None:
        self.mark = mark
        self.came: int = 0
        self.begun: int = 0
        self._expected = 0
        self._wanted = 0
        self._there = asyncio.Event()
        self._event = asyncio.Event()

    def note(self, times: int) -> None:
        """`mark` came so often, somewhere."""
        self.came += times
        if self.came >= self._wanted:
            self._event.set()

    def begin(self) -> None:
        """One more has been let in."""
        self.begun += 1
        if self.begun >= self._expected:
            self._there.set()

    async def everybody(self, followers: int) -> None:
        """So many have been let in."""
        self._expected = followers
        if self.begun < followers:
            self._there.clear()
            await asyncio.wait_for(self._there.wait(), TOLD_MAX_S)

    async def wait_for(self, times: int) -> None:
        """`mark` has come `times` in all."""
        self._wanted = times
        if self.came < times:
            self._event.clear()
            await asyncio.wait_for(self._event.wait(), TOLD_MAX_S)


class Follower(asyncio.Protocol):
    """One of the crowd; `asks` is what it says when it is let in."""

    def __init__(self, crowd: Crowd, asks: bytes) -> None:
        self._crowd = crowd
        self._asks = asks
        self._rest = b""
        self._heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._asks)

    def data_received(self, data: bytes) -> None:
        if not self._heard:
            self._heard = True
            self._crowd.begin()
        seen = self._rest + data
        times = seen.count(self._crowd.mark)
        # A mark may come in two parts.
        self._rest = seen[max(seen.rfind(self._crowd.mark) + 1, len(seen) - len(self._crowd.mark) + 1) :]
        if times:
            self._crowd.note(times)


@asynccontextmanager
async def crowd(scale: Scale, port: int, asks: bytes, mark: bytes) -> AsyncGenerator[Crowd]:
    """As many as the scale says are connected and have been let in."""
    loop, made, transports = asyncio.get_running_loop(), Crowd(mark), list[asyncio.BaseTransport]()
    try:
        for start in range(0, scale.followers, CONNECT_AT_ONCE):
            some = range(start, min(start + CONNECT_AT_ONCE, scale.followers))
            pairs = await asyncio.gather(
                *(loop.create_connection(lambda: Follower(made, asks), "127.0.0.1", port) for _ in some)
            )
            transports += [transport for transport, _ in pairs]
        await made.everybody(scale.followers)
        yield made
    finally:
        for transport in transports:
            transport.close()


class Told(msgspec.Struct, frozen=True):
    """Messages per second, milliseconds from asking for a change to its last follower, server CPU per message in µs."""

    rate: float
    lag_ms: float
    cpu_us: float


async def tell(scale: Scale, pid: int, followers: Crowd, change: Callable[[], Awaitable[None]]) -> Told:
    """Every change is told to all before the next one is made."""
    cpu, began, lags = cpu_seconds(pid), time.perf_counter(), list[float]()
    for _ in range(scale.changes):
        wanted = followers.came + scale.followers
        asked = time.perf_counter()
        await change()
        await followers.wait_for(wanted)
        lags.append(time.perf_counter() - asked)
    messages = scale.followers * scale.changes
    took = time.perf_counter() - began
    return Told(messages / took, median(lags) * 1e3, (cpu_seconds(pid) - cpu) / messages * 1e6)


async def measure_ours(scale: Scale, server: StageProcess) -> list[Told]:
    """One figure a round."""
    port = int(server.url.rpartition(":")[2])
    limits = iter(range(1_000, 100_000))
    async with connect(server.url) as connection:
        namespaces = connection.client(Namespaces)

        async def change() -> None:
            spec = NamespaceSpec(name="bench", abstraction="kv", config={"count_limit": next(limits)})
            await namespaces.put(namespace=spec)

        await change()
        async with crowd(scale, port, WATCH, b'"change":') as followers:
            return [await tell(scale, server.pid, followers, change) for _ in range(scale.rounds)]


async def measure_redis(scale: Scale, port: int, pid: int, size: int) -> list[Told]:
    """The same of a channel."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    payload = b"x" * (size - 6) + b"-mark-"
    command = b"*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n$%d\r\n%b\r\n" % (len(payload), payload)

    async def change() -> None:
        writer.write(command)
        await reader.readline()

    async with crowd(scale, port, SUBSCRIBE, b"-mark-") as followers:
        found = [await tell(scale, pid, followers, change) for _ in range(scale.rounds)]
    writer.close()
    return found


MESSAGE_BYTES = 900
"""About what a change of a key-value namespace is as a line of JSON."""


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    need({"redis-server": "redis-server"})
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder, ExitStack() as held:
        with StageProcess(Path(folder, "ours")) as server:
            ours = uvloop.run(measure_ours(scale, server))
        port, pid = held.enter_context(redis(Path(folder, "redis"), "no"))
        theirs = uvloop.run(measure_redis(scale, port, pid, MESSAGE_BYTES))

    def middle(of: Sequence[Told], part: str) -> float:
        return median(getattr(each, part) for each in of)

    note = f"{scale.followers:,} followers; Redis PUBLISH to as many subscribers"
    return [
        figure("feeds.told", middle(ours, "rate"), middle(theirs, "rate"), "messages/s", "higher", note=note),
        figure("feeds.lag", middle(ours, "lag_ms"), middle(theirs, "lag_ms"), "ms to the last", "lower", note=note),
        figure(
            "feeds.cpu", middle(ours, "cpu_us"), max(0.01, middle(theirs, "cpu_us")), "µs/message", "lower", note=note
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("A feed with many followers, next to Redis", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
