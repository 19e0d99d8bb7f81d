"""Whatever a memcached says, and however it says nothing, is a miss or an error of the tree in every call of the port.

There is no driver: what the engine meets is what comes over the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from tests.engines.walk.calls import At, call, calls_of
from tests.engines.walk.faults import Told, refusal, told

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.time import NS_PER_MS, Duration
from soundstage.engines.cache.memcached import MemcachedCache, MemcachedOptions
from soundstage.engines.cache.port import Found, Lease, Outcome

CALLS = calls_of("cache", MemcachedCache)
MISSING = {"get", "lease"}
"""Calls that miss where others are refused."""

AWAY, DEFECT, LARGE = Told("unavailable", True), Told("internal", False), Told("too_large", False)
FULL = Told("exhausted", True)

SAID: dict[bytes, Told] = {
    b"ERROR": DEFECT,
    b"CLIENT_ERROR bad command line format": DEFECT,
    b"CLIENT_ERROR line too long": DEFECT,
    b"CLIENT_ERROR bad data chunk": DEFECT,
    b"CLIENT_ERROR invalid flag": DEFECT,
    b"CLIENT_ERROR unauthenticated": Told("unauthenticated", False),
    b"SERVER_ERROR out of memory": FULL,
    b"SERVER_ERROR out of memory storing object": FULL,
    b"SERVER_ERROR object too large for cache": LARGE,
    b"SERVER_ERROR temporary failure": AWAY,
    b"SERVER_ERROR Internal Error": AWAY,
}
"""Every line by which a memcached says that it does not do what it was asked."""

STRANGE = [
    b"HTTP/1.1 400 Bad Request",
    b"SSH-2.0-OpenSSH_9.2",
    b"VA many f1 c1",
    b"VA -7 f1 c1",
    b"VA",
    b"\xff\xfe\x00",
    b"x" * 4_096,
    b"",
]
"""Lines of others, and of one that has lost its step."""


class Server:
    """Answers every line with `says`; None: it is closed."""

    def __init__(self) -> None:
        self.says: bytes | None = None
        self.asked = 0
        self._serving: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(asyncio.current_task())
        with suppress(ConnectionError):
            while await reader.readline():
                self.asked += 1
                if self.says is None:
                    break
                writer.write(self.says + b"\r\n")
        writer.close()

    async def ended(self) -> None:
        await asyncio.gather(*(task for task in self._serving if task))


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def cache(server: Server) -> AsyncIterator[At]:
    patient = Duration(30_000 * NS_PER_MS)
    options = MemcachedOptions(within=patient, connect_within=patient, failures_max=1_000)
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listening:
        engine = MemcachedCache([listening.sockets[0].getsockname()], VirtualEnvironment(), options)
        await engine.start()
        yield At(engine)
        await engine.stop()
        await server.ended()


@pytest.mark.parametrize("says", SAID, ids=bytes.decode)
@pytest.mark.parametrize("name", [name for name in CALLS if name != "get"])
async def test_a_refusal_is_told_as_what_it_means(cache: At, server: Server, name: str, says: bytes) -> None:
    server.says = says
    error = await refusal(call("cache", name, cache))
    assert server.asked
    assert error is not None
    assert told(error) == SAID[says]


@pytest.mark.parametrize("says", SAID, ids=bytes.decode)
async def test_a_get_that_is_refused_misses(cache: At, server: Server, says: bytes) -> None:
    server.says = says
    (found,) = await cache.get([b"k"])
    assert found.outcome is Outcome.UNAVAILABLE


@pytest.mark.parametrize("says", STRANGE, ids=lambda said: repr(said[:20]))
@pytest.mark.parametrize("name", CALLS)
async def test_what_no_memcached_says_is_told_as_such(cache: At, server: Server, name: str, says: bytes) -> None:
    server.says = says
    calling = call("cache", name, cache)
    error = await refusal(calling)
    if error is None:
        assert name in MISSING
    else:
        assert told(error) in (AWAY, DEFECT)


async def test_a_value_that_cannot_be_counted_on_is_the_callers_to_know(cache: At, server: Server) -> None:
    server.says = b"CLIENT_ERROR cannot increment or decrement non-numeric value"
    error = await refusal(call("cache", "add", cache))
    assert error is not None
    assert told(error) == Told("precondition_failed", False)


@pytest.mark.parametrize("name", ["touch", "add", "lease"])
async def test_what_is_no_number_where_one_was_asked_for_is_told_as_such(cache: At, server: Server, name: str) -> None:
    server.says = b"VA 1 fmany cmany\r\nx" if name != "touch" else b"HD fmany smany"
    error = await refusal(call("cache", name, cache))
    assert error is not None
    assert told(error) == DEFECT


@pytest.mark.parametrize("name", CALLS)
async def test_a_connection_that_is_closed_is_a_server_that_is_away(cache: At, server: Server, name: str) -> None:
    assert server.says is None
    if name in MISSING:
        found: list[Found] | Lease = await call("cache", name, cache)
        outcome = found.found.outcome if isinstance(found, Lease) else found[0].outcome
        assert outcome is Outcome.UNAVAILABLE
    else:
        error = await refusal(call("cache", name, cache))
        assert error is not None
        assert (told(error), error.outcome) == (AWAY, "unknown")
