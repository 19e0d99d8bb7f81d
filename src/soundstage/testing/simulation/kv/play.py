"""One run of the key-value scenario."""

from __future__ import annotations

from random import Random

from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.testing.simulation.kv.performer import Performer
from soundstage.testing.simulation.kv.reading import Reader
from soundstage.testing.simulation.kv.scanning import Scanner
from soundstage.testing.simulation.kv.scene import NAMESPACE, Scene
from soundstage.testing.simulation.kv.steps import KeyValueStep
from soundstage.testing.simulation.scenario import Site

LAST = KeyValueStep(number=-1, client=0, act="scan", record="", choice=1)
"""The step in whose name everything is read at the end."""


class KeyValuePlay:
    """Clients that write, read, retry and repeat; what they are told is judged at once."""

    def __init__(self, site: Site, random: Random) -> None:
        self.scene: Scene = Scene(site, random)
        self._site = site
        self._performer = Performer(self.scene)

    async def prepare(self) -> None:
        spec = NamespaceSpec(name=NAMESPACE, abstraction="kv", config=self.scene.config)
        await self._site.host.stage.client(Namespaces).put(namespace=spec)

    async def play(self, step: KeyValueStep) -> None:
        await getattr(self._performer, step.act)(step)

    async def settle(self) -> None:
        """Everything is read, and read again when all that can be purged is."""
        for _ in range(2):
            for record in list(self.scene.history.records):
                await Reader(self.scene).read_all(LAST, record)
            await Scanner(self.scene).scan(LAST)
            await self._purge()

    async def _purge(self) -> None:
        """A day later nothing is due any more."""
        await self._site.environment.sleep(86_400.0 + 3_600.0)
        while True:
            swept = await self._site.host.sweep(10_000)
            if not swept.purged and not swept.backlog:
                return
