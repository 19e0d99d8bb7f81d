"""How much does the cache port cost over memcached's bare protocol? Gets of one server, at once and one after another.

The rival speaks the meta protocol over one asyncio connection and does nothing else: no bound, no deadline, no key but
a plain one, no second server. Both send the same commands for values of the same size, in one process and in turns.
`soundstage.servers` brings and starts the server.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from benchmarks.report import Figure, figure, options, show, turns
from soundstage.core.environment import SystemEnvironment
from soundstage.core.time import NS_PER_S, Duration
from soundstage.engines.cache.memcached import MemcachedCache, MemcachedOptions
from soundstage.servers.cluster import Cluster

VALUE_BYTES = 100
KEYS = 1_000
TARGET = 0.8


class Scale(msgspec.Struct, frozen=True):
    """How much is done: `gets` of each kind in a round, `callers` at once; the first `warm` rounds do not count."""

    rounds: int
    gets: int
    callers: int = 64
    batch: int = 100
    warm: int = 1


FULL = Scale(rounds=25, gets=8_000)
QUICK = Scale(rounds=9, gets=4_000)


class Bare(asyncio.Protocol):
    """The meta protocol and nothing else."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[list[bytes]], int, list[bytes]]] = deque()
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport

    def ask(self, request: bytes, replies: int) -> asyncio.Future[list[bytes]]:
        """The values of the next `replies` replies."""
        future: asyncio.Future[list[bytes]] = self._loop.create_future()
        self._waiting.append((future, replies, []))
        if self.transport is not None:
            self.transport.write(request)
        return future

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            words = data[at:end].split(b" ")
            value = b""
            if words[0] == b"VA":
                stop = end + 2 + int(words[1])
                if len(data) < stop + 2:
                    break
                value, end = data[end + 2 : stop], stop
            at = end + 2
            future, replies, values = self._waiting[0]
            values.append(value)
            if len(values) == replies:
                self._waiting.popleft()
                if not future.done():
                    future.set_result(values)
        self._rest = data[at:]


def names() -> list[bytes]:
    """The keys."""
    return [b"film:%d" % number for number in range(KEYS)]


async def single(scale: Scale, get: Callable[[bytes], Awaitable[object]], callers: int) -> float:
    """Gets per second, one key each, by so many callers at once."""
    keys = names()

    async def caller(number: int) -> None:
        for at in range(number, scale.gets, callers):
            await get(keys[at % KEYS])

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return scale.gets / (time.perf_counter() - began)


async def batches(scale: Scale, get: Callable[[list[bytes]], Awaitable[object]]) -> float:
    """Keys per second, a batch in each call, by one caller."""
    keys = names()
    began = time.perf_counter()
    for at in range(0, scale.gets, scale.batch):
        await get(keys[at % KEYS : at % KEYS + scale.batch])
    return scale.gets / (time.perf_counter() - began)


def measure(scale: Scale) -> list[Figure]:
    """All figures, against a server of its own."""
    with Cluster("memcached") as cluster:
        (node,) = cluster.nodes
        return asyncio.run(measured(scale, node.host, node.port))


async def measured(scale: Scale, host: str, port: int) -> list[Figure]:
    """All figures, against the server at that address."""
    ours = MemcachedCache([(host, port)], SystemEnvironment(), MemcachedOptions(within=Duration(30 * NS_PER_S)))
    await ours.start()
    transport, bare = await asyncio.get_running_loop().create_connection(Bare, host, port)
    for key in names():
        await ours.set(key, bytes(VALUE_BYTES))

    async def our_single(callers: int) -> float:
        return await single(scale, lambda key: ours.get((key,)), callers)

    async def bare_single(callers: int) -> float:
        return await single(scale, lambda key: bare.ask(b"mg %s v f c\r\n" % key, 1), callers)

    async def our_batches() -> float:
        return await batches(scale, ours.get)

    async def bare_batches() -> float:
        return await batches(scale, lambda keys: bare.ask(b"".join([b"mg %s v f c\r\n" % k for k in keys]), len(keys)))

    figures: list[Figure] = []
    for callers in (1, scale.callers):
        mine, rival = await turns(
            scale.rounds, lambda n=callers: our_single(n), lambda n=callers: bare_single(n), warm=scale.warm
        )
        name = f"cache_memcached.get_{callers}"
        figures.append(figure(name, mine, rival, "gets/s", "higher", target=TARGET, note=f"{callers} callers"))
    mine, rival = await turns(scale.rounds, our_batches, bare_batches, warm=scale.warm)
    name = f"cache_memcached.get_batch_{scale.batch}"
    figures.append(figure(name, mine, rival, "keys/s", "higher", target=TARGET, note=f"{scale.batch} keys a call"))
    transport.close()
    await ours.stop()
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show(
        f"Gets of {VALUE_BYTES} bytes from memcached, beside its bare protocol",
        measure(QUICK if chosen.quick else FULL),
    )


if __name__ == "__main__":
    main()
