"""A scenario as small as one can be: a register of the key-value store that counts up, and may be made to lie."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from soundstage.core.errors import DeadlineExceeded, PreconditionFailed, Unavailable
from soundstage.data.kv.api import Condition, KeyValue, PutItem
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Scenario, Site, Step

NAMESPACE = "register"


class Count(Step, frozen=True, kw_only=True, tag="count"):
    """Count the register up by one; with `lies`, expect one too many."""

    act: str = "count"
    lies: bool = False


class RegisterPlay:
    """Clients compare and set; what they read never falls, and is no more than what was asked for."""

    def __init__(self, site: Site) -> None:
        self.asked = 0
        self.known = 0
        self._site = site

    async def prepare(self) -> None:
        spec = NamespaceSpec(name=NAMESPACE, abstraction="kv")
        await self._site.host.stage.client(Namespaces).put(namespace=spec)

    async def play(self, step: Count) -> None:
        kv = self._site.client(step.client, KeyValue, NAMESPACE)
        self.asked += 1
        try:
            value, condition = await self._read(kv)
            if step.lies:
                self.known = self.asked + 1
                self._check(value)
            await kv.put_items(id="r", items=[PutItem(key=b"", value=b"%d" % (value + 1))], condition=condition)
            self.known = max(self.known, value + 1)
            self._site.note("counted")
        except PreconditionFailed:
            self._site.note("overtaken")
        except (Unavailable, DeadlineExceeded):
            self._site.note("uncertain")

    async def settle(self) -> None:
        value, _ = await self._read(self._site.client(0, KeyValue, NAMESPACE))
        self._check(value)

    async def _read(self, kv: KeyValue) -> tuple[int, Condition]:
        known = self.known
        items = (await kv.get_items(id="r")).items
        if not items:
            return 0, Condition(key=b"", absent=True)
        value = int(items[0].value or b"0")
        if value < known:
            raise Divergence(f"the register fell from {known} to {value}")
        return value, Condition(key=b"", token=items[0].metadata.token)

    def _check(self, value: int) -> None:
        if not self.known <= value <= self.asked:
            raise Divergence(f"the register holds {value}, not {self.known} to {self.asked}")


class RegisterScenario:
    """`lies` is the share of steps that expect too much."""

    system = "kv"
    spared = SYSTEM_TABLES
    situations: Mapping[str, float] = {"counted": 0.3, "overtaken": 0.01}

    def __init__(self, lies: float = 0.0) -> None:
        self._lies = lies

    def draw(self, random: Random, number: int, client: int) -> Count:
        pause_s = random.choice((0.0, 0.0, 0.001))
        return Count(number=number, client=client, pause_s=pause_s, lies=random.random() < self._lies)

    def open(self, site: Site, random: Random) -> Play:
        return RegisterPlay(site)


HONEST: Scenario = RegisterScenario()
LYING: Scenario = RegisterScenario(lies=0.01)


class BrokenPlay(RegisterPlay):
    async def play(self, step: Count) -> None:
        raise ZeroDivisionError("a defect")


class BrokenScenario(RegisterScenario):
    def open(self, site: Site, random: Random) -> Play:
        return BrokenPlay(site)


BROKEN: Scenario = BrokenScenario()
