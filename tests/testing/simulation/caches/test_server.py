"""A server that is killed, paused and started anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import pytest
from tests.testing.simulation.theatre import at_site

from soundstage.core.errors import Unavailable
from soundstage.data.kv.api import GetItems, Item
from soundstage.testing.simulation.caches.play import CachesPlay
from soundstage.testing.simulation.caches.server import NAMESPACE, PAUSED_AGAIN_S, Server
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.process import Killed
from soundstage.testing.simulation.scenario import Site

T = TypeVar("T")
GET = GetItems(namespace=NAMESPACE, id="ada")


def served(body: Callable[[Site, Server], Awaitable[T]]) -> T:
    async def main(site: Site) -> T:
        playing = CachesPlay(site, Random(1))
        await playing.prepare()
        return await body(site, playing.servers[0])

    return at_site(main, climate=Climate(clients=1))


def test_a_call_tells_when_it_was_answered_by_the_servers_clock() -> None:
    async def body(site: Site, server: Server) -> None:
        server.process.environment.skew_s = 100.0
        reply, (began_us, ended_us) = await server.call("get_items", GET, 1.0)
        assert reply.items == []
        assert site.environment.now_us() + 90_000_000 < began_us <= ended_us

    served(body)


def test_one_that_is_down_is_unavailable_and_owes_what_nobody_knows() -> None:
    async def body(site: Site, server: Server) -> None:
        await server.kill()
        assert server.records is None
        assert server.owes("ada")
        with pytest.raises(Unavailable, match="down"):
            await server.call("get_items", GET, 1.0)

    served(body)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_who_comes_after_it_is_another(end: str) -> None:
    async def body(site: Site, server: Server) -> None:
        before = server.author
        await (server.kill() if end == "kill" else server.stop())
        await server.start(0.0)
        assert server.author == before._replace(life=before.life + 1)
        assert not server.owes("ada")
        await server.call("get_items", GET, 1.0)

    served(body)


def test_what_is_under_way_ends_with_it() -> None:
    async def body(site: Site, server: Server) -> None:
        server.process.pause(5.0)
        asking = site.loop.create_task(server.call("get_items", GET, 1.0))
        await site.environment.sleep(0.1)
        await server.kill()
        with pytest.raises(Killed):
            await asking

    served(body)


def test_it_is_not_paused_twice_while_a_read_may_last() -> None:
    async def body(site: Site, server: Server) -> list[bool]:
        found = [server.pause(1.0), server.pause(1.0)]
        await site.environment.sleep(PAUSED_AGAIN_S + 1.0)
        return [*found, server.pause(1.0)]

    assert served(body) == [True, False, True]


def test_it_serves_as_soon_as_the_engine_of_the_host_does() -> None:
    async def body(site: Site, server: Server) -> list[Item]:
        await server.kill()
        restarting = site.loop.create_task(site.host.restart("kill", 3.0))
        await site.environment.sleep(0.1)
        await server.start(0.0)
        await restarting
        reply, _ = await server.call("get_items", GET, 1.0)
        return reply.items

    assert served(body) == []
