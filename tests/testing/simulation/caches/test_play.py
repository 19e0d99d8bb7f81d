"""The acts of a run, each by itself, and what is drawn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar, get_args

import pytest
from tests.testing.simulation.theatre import at_site, noted

from soundstage.testing.simulation.caches import SCENARIO
from soundstage.testing.simulation.caches.nodes import NO_FAULTS, CacheRates
from soundstage.testing.simulation.caches.play import Act, CachesPlay, CacheStep
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.scenario import Divergence, Site

T = TypeVar("T")
TRUNCATED = {"told", "read", "own", "hit", "truncated"}
ROUGH = 4
"""A seed of a play that is not calm."""


def played(body: Callable[[Site, CachesPlay], Awaitable[T]], seed: int = ROUGH) -> T:
    async def main(site: Site) -> T:
        playing = CachesPlay(site, Random(seed))
        assert not playing.calm
        await playing.prepare()
        return await body(site, playing)

    return at_site(main, climate=Climate(clients=2))


def step(act: Act, number: int = 1, client: int = 0, **choices: Any) -> CacheStep:
    return CacheStep(number=number, client=client, act=act, **choices)


@pytest.mark.parametrize(
    ("steps", "situations"),
    [
        ([step("put"), step("read", server=1)], {"told", "read"}),
        ([step("put"), step("read"), step("read", server=1)], {"told", "read", "hit"}),
        ([step("put"), step("delete"), step("read", own=True, server=1)], {"told", "own"}),
        ([step("put", ttl_s=1.0), step("wait", for_s=2.0), step("read")], {"told", "read"}),
        ([step("put"), step("clear"), step("wait", for_s=1.0), step("read")], {"told", "read", "hit"}),
        ([step("put", age_s=30.0), step("read", choice=0)], {"told", "read"}),
        ([step("put"), step("kill"), step("read", server=1)], {"told", "ended", "read"}),
        ([step("put"), step("stop"), step("read")], {"told", "ended", "read"}),
        ([step("put"), step("evict", choice=3), step("read", server=1)], {"told", "evicted", "read"}),
        ([step("node", choice=2), step("put"), step("read")], {"node_gone", "told", "read"}),
        ([step("pause", for_s=0.5), step("put"), step("read")], {"paused", "told", "read"}),
        ([step("cut_off"), step("put"), step("read", server=1)], {"cut_off", "told", "read"}),
        ([step("weather", choice=1), step("weather", choice=0)], set()),
        ([step("put"), step("swap", server=1), step("read")], {"told", "swapped", "read"}),
        ([step("swap"), step("read", server=1)], {"told", "swapped", "read"}),
        ([step("mutate", choice=1), step("read", choice=0)], {"accepted", "applied", "read"}),
        ([step("put"), step("truncate", choice=1), step("erase"), step("read")], TRUNCATED - {"hit"} | {"erased"}),
        ([step("put"), step("truncate"), step("put", number=2), step("read")], TRUNCATED),
    ],
)
def test_acts_are_explained(steps: list[CacheStep], situations: set[str]) -> None:
    async def body(site: Site, playing: CachesPlay) -> set[str]:
        for each in steps:
            await playing.play(each)
        seen = set(noted())
        await playing.settle()
        return seen

    assert played(body) == situations


def test_a_record_is_read_while_it_is_written() -> None:
    async def body(site: Site, playing: CachesPlay) -> set[str]:
        for number in range(10):
            await playing.play(step("race", number=number, choice=number))
        return set(noted())

    assert {"told", "read", "own", "hit", "evicted"} <= played(body)


def test_who_cannot_tell_owes_and_another_may_be_behind() -> None:
    async def body(site: Site, playing: CachesPlay) -> set[str]:
        await playing.play(step("put"))
        await playing.play(step("read", server=1))
        playing.shared.down |= {0, 1}
        await playing.play(step("put", number=2))
        playing.shared.down.clear()
        await playing.play(step("read", server=1))
        return set(noted())

    assert played(body) == {"told", "untold", "read", "behind", "hit"}


def test_one_that_dies_then_is_noted() -> None:
    async def body(site: Site, playing: CachesPlay) -> set[str]:
        playing.shared.down |= {0, 1}
        await playing.play(step("put"))
        await playing.play(step("kill"))
        playing.shared.down.clear()
        await playing.settle()
        return set(noted())

    assert {"untold", "died_owing"} <= played(body)


def test_nothing_answered_by_the_cache_in_the_end_is_a_divergence() -> None:
    async def body(site: Site, playing: CachesPlay) -> None:
        playing._hits = lambda server: 0  # type: ignore[method-assign]
        with pytest.raises(Divergence, match="nothing is answered"):
            await playing.settle()

    played(body)


def test_a_set_that_is_not_applied_in_the_end_is_a_divergence() -> None:
    async def body(site: Site, playing: CachesPlay) -> None:
        async def idle() -> None:
            """Nobody works."""

        for server in playing.servers:
            server.work_off = idle  # type: ignore[method-assign]
        await playing.play(step("mutate"))
        with pytest.raises(Divergence, match="accepted and are not applied"):
            await playing.settle()

    played(body)


def test_a_set_that_was_too_old_when_it_could_be_applied_is_none() -> None:
    async def body(site: Site, playing: CachesPlay) -> str:
        work_off = playing.servers[0].work_off

        async def idle() -> None:
            """Nobody works."""

        playing.servers[0].work_off = idle  # type: ignore[method-assign]
        await playing.play(step("mutate"))
        playing.servers[0].work_off = work_off  # type: ignore[method-assign]
        await site.environment.sleep(3_600.0)
        await playing.settle()
        return "settled"

    assert played(body) == "settled"


def test_a_swap_of_what_is_another_by_then_is_none() -> None:
    async def body(site: Site, playing: CachesPlay) -> set[str]:
        server, book = playing.servers[0], playing.book
        call = server.call

        async def overtaken(operation: str, request: Any, *given: Any) -> Any:
            if operation == "put_items" and request.condition is not None:
                await playing.play(step("put", number=2, server=1))
            return await call(operation, request, *given)

        await playing.play(step("put"))
        server.call = overtaken  # type: ignore[method-assign]
        await playing.play(step("swap", number=3))
        newest = book.newest("alpha", b"")
        assert newest is not None
        assert newest.value == b"2"
        return set(noted())

    assert "not_swapped" in played(body)


def test_a_truncation_that_a_healthy_server_does_not_hear_of_is_a_divergence() -> None:
    async def body(site: Site, playing: CachesPlay) -> None:
        other = playing.servers[1]
        assert other.stage is not None

        async def deaf() -> None:
            """It follows nothing."""

        other.stage._parts.follower.follow = deaf  # type: ignore[method-assign]
        await playing.play(step("put"))
        with pytest.raises(Divergence, match="has not heard of it"):
            await playing.play(step("truncate"))

    played(body)


def test_a_server_that_still_owes_in_the_end_is_a_divergence() -> None:
    async def body(site: Site, playing: CachesPlay) -> None:
        playing.shared.down |= {0, 1}
        await playing.play(step("put"))
        for server in playing.servers:
            assert server.records is not None
            server.records.heads.stop = lambda: None  # type: ignore[method-assign]
            server.records.heads._repeat_later = lambda: None  # type: ignore[method-assign]
        for server in playing.servers:
            assert server.records is not None
            server.records.heads._owed.setdefault(b"other", 1)
        with pytest.raises(Divergence, match="still owes"):
            await playing.settle()

    played(body)


def test_where_all_is_well_the_cache_is_left_alone() -> None:
    async def body(site: Site, playing: CachesPlay) -> tuple[set[str], CacheRates]:
        playing.calm = True
        for act in ("weather", "node", "cut_off", "evict"):
            await playing.play(step(act, choice=1))
        return set(noted()), playing.shared.rates

    assert played(body) == ({"calm"}, NO_FAULTS)


def test_every_act_is_drawn_and_every_situation_is_of_a_share() -> None:
    random = Random(1)
    drawn = [SCENARIO.draw(random, number, 0) for number in range(10_000)]
    assert {each.act for each in drawn if isinstance(each, CacheStep)} == set(get_args(Act))
    assert all(0 < share < 1 for share in SCENARIO.situations.values())
