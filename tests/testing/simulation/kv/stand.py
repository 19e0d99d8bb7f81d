"""A scene at a site, ready to be played at, and lies that a store may tell there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar

from tests.testing.simulation.theatre import at_site

from soundstage.core.call import CallOptions
from soundstage.core.operation import Operation
from soundstage.testing.simulation.climate import FAIR, Climate
from soundstage.testing.simulation.kv.play import KeyValuePlay
from soundstage.testing.simulation.kv.scene import Scene
from soundstage.testing.simulation.kv.steps import Act, KeyValueStep
from soundstage.testing.simulation.scenario import Site
from soundstage.testing.simulation.storage import Storage

T = TypeVar("T")


def step(act: Act = "put", **choices: Any) -> KeyValueStep:
    """A step of client 0 about the key `a` of the record `alpha`, unless it says otherwise."""
    about: dict[str, Any] = {"number": 1, "client": 0, "record": "alpha", "keys": (b"a",)}
    return KeyValueStep(act=act, **{**about, **choices})


def at_scene(
    body: Callable[[Scene], Awaitable[T]],
    *,
    climate: Climate = FAIR,
    storage: Storage | None = None,
    seed: int = 1,
    **config: Any,
) -> T:
    """What `body(scene)` returns; the namespace is there, with `config` over what the seed chose."""

    async def main(site: Site) -> T:
        play = KeyValuePlay(site, Random(seed))
        play.scene.config.update(config)
        await play.prepare()
        return await body(play.scene)

    return at_site(main, climate=climate, storage=storage)


class Liar:
    """Stands before a client's way to the store and changes what comes back."""

    def __init__(self, scene: Scene, lie: Callable[[Any], Any]) -> None:
        self._honest = scene.site.machine(0)
        self._lie = lie
        kv = scene.kv(step())
        # The bound operations are kept on the face, so that a face of its own is given to the scene.
        scene.clients[0, None] = type(kv)(self, kv.namespace)

    async def invoke(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        return self._lie(await self._honest.invoke(operation, request, options))
