"""Runs a test's coroutine at a simulated site, from its first callback to its last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, TypeVar

from soundstage.core.system import System
from soundstage.testing.simulation.climate import FAIR, Climate
from soundstage.testing.simulation.host import NOTHING
from soundstage.testing.simulation.loop import SimulationLoop, run, running_loop
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Play, Site
from soundstage.testing.simulation.storage import MemoryStorage, Storage
from soundstage.testing.simulation.turn import Turn, present, taking

T = TypeVar("T")
P = TypeVar("P", bound=Play)


def at_site(
    body: Callable[[Site], Awaitable[T]],
    *,
    climate: Climate = FAIR,
    storage: Storage | None = None,
    seed: str = "test",
    in_turn: bool = True,
    systems: tuple[System, ...] = (),
    config: Mapping[str, Any] = NOTHING,
) -> T:
    """What `body(site)` returns, with the host started before and stopped after; in a turn, so that faults strike."""
    kept = storage or MemoryStorage()

    async def main() -> T:
        site = Site(running_loop(), seed, climate, kept, SYSTEM_TABLES, systems, config)
        await site.host.start()
        try:
            if not in_turn:
                return await body(site)
            with taking(Turn(Random(seed))):
                return await body(site)
        finally:
            await site.host.stop()

    try:
        return run(main, seed)
    finally:
        kept.close()


def at_play(make: Callable[[Site], P], body: Callable[[Site, P], Awaitable[T]], **given: Any) -> T:
    """What `body(site, play)` returns, of a play that is prepared; `given` is as `at_site` takes it."""

    async def main(site: Site) -> T:
        playing = make(site)
        await playing.prepare()
        return await body(site, playing)

    return at_site(main, **given)


def noted() -> set[str]:
    """The situations that the present turn got into."""
    turn = present()
    assert turn is not None
    return turn.situations


def simulated(body: Callable[[SimulationLoop], Awaitable[T]], seed: object = 0) -> T:
    """What `body(loop)` returns on a fresh loop."""

    async def main() -> T:
        return await body(running_loop())

    return run(main, seed)
