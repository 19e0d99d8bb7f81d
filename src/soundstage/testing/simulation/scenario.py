"""What a system brings to be simulated: the steps of its clients, and a judge of what the system answers.

    class Counting:
        system = "counter"
        situations = {"add_retried": 0.01}
        spared = SYSTEM_TABLES

        def draw(self, random, number, client): ...     # one step, with every choice it will make
        def open(self, site, random): ...               # a `Play`, which plays steps and judges

`soundstage.testing.simulation.episode` runs it: clients play their steps side by side against a stage whose network,
storage, clocks and process fail as the seed says. `docs/testing.md` shows one being written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from random import Random
from typing import Any, Protocol, TypeVar

import msgspec

from soundstage.core.operation import AsyncFace, Operation
from soundstage.core.system import System
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.host import NOTHING, Host
from soundstage.testing.simulation.loop import SimulationLoop
from soundstage.testing.simulation.network import Client, Network
from soundstage.testing.simulation.process import Process
from soundstage.testing.simulation.storage import Storage
from soundstage.testing.simulation.turn import present

F = TypeVar("F", bound=AsyncFace)

SYSTEM_TABLES = frozenset({"system/keys", "system/tokens", "system/repetitions", "system/namespaces"})
"""The stage's own tables. Scenarios of systems that do not live on them spare them, for speed."""


class Divergence(AssertionError):
    """The system gave an answer that its promises do not allow, whatever the faults."""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that one client does, `pause_s` after the step before.

    A step holds every choice that is made for it, so that a run can be repeated without some of its steps: that is
    how a divergence is made small.
    """

    number: int
    client: int
    pause_s: float = 0.0


class Play(Protocol):
    """One run of a scenario."""

    async def prepare(self) -> None:
        """What the steps need is there, such as a namespace. Nothing fails yet."""
        ...

    async def play(self, step: Any) -> None:
        """The step is done and everything it was told is explained. Raises `Divergence` otherwise.

        Other clients' steps go on meanwhile. A `SoundstageError` that gets out is a divergence too.
        """
        ...

    async def settle(self) -> None:
        """Everything the system holds is as it must be. All steps have been played, and the faults have ended."""
        ...


class Scenario(Protocol):
    """How one system is simulated.

    `situations` are the names that plays note with `Site.note` and the least share of steps that each must reach in
    a long run. `spared` are tables that meet no faults. One that needs systems besides those of the catalogue has
    them as `systems`; one whose host is to be configured says so as `config`, sections of a stage file.
    """

    @property
    def system(self) -> str: ...

    @property
    def situations(self) -> Mapping[str, float]: ...

    @property
    def spared(self) -> frozenset[str]: ...

    def draw(self, random: Random, number: int, client: int) -> Step:
        """The step of that number; it depends on nothing but `random`."""
        ...

    def open(self, site: Site, random: Random) -> Play:
        """A play at `site`; what is chosen for the whole of it is drawn from `random`."""
        ...


class Site:
    """Where a play takes place: a host, the network before it, and the machines of the clients.

    `processes` are those that a play has beside the host, on its engine.
    """

    def __init__(
        self,
        loop: SimulationLoop,
        seed: str,
        climate: Climate,
        storage: Storage,
        spared: frozenset[str],
        systems: Sequence[System] = (),
        config: Mapping[str, Any] = NOTHING,
    ) -> None:
        self.climate = climate
        self.loop = loop
        self.environment: SimulatedEnvironment = SimulatedEnvironment(loop, f"host {seed}")
        self.host: Host = Host(storage, self.environment, spared, systems, config)
        self.network: Network = Network(self.host, climate.latency_s)
        self.transcript: list[str] | None = None
        self.processes: list[Process] = []
        self._seed = seed
        self._digest = blake2b(digest_size=8)
        self._clients = [self._equip(number) for number in range(climate.clients)]

    def machine(self, number: int) -> Client:
        """The client of that number, with its environment and its clock."""
        return self._clients[number]

    def add_process(self) -> Process:
        """Another process beside the host, not begun yet."""
        self.processes.append(Process(self.loop, self.host, self._seed, len(self.processes)))
        return self.processes[-1]

    def client(self, number: int, face: type[F], namespace: str = "") -> F:
        """The typed client that the steps of client `number` call."""
        return face(self._clients[number], namespace)

    def note(self, situation: str) -> None:
        """The step being played got into `situation`; counted once per step."""
        turn = present()
        if turn is not None:
            turn.situations.add(situation)

    def tell(self, line: str) -> None:
        """`line` happened now, and is part of what two runs of one seed share."""
        line = f"{self.loop.virtual_ns} {line}"
        self._digest.update(line.encode())
        if self.transcript is not None:
            self.transcript.append(line)

    def faults(self) -> Counter[str]:
        """How often each fault has struck."""
        struck = sum((process.counts for process in self.processes), self.host.counts())
        ports = Counter({f"port_{name}": count for name, count in struck.items()})
        return ports + Counter({f"network_{name}": count for name, count in self.network.counts.items()})

    @property
    def digest(self) -> str:
        """Of everything told so far."""
        return self._digest.hexdigest()

    def _equip(self, number: int) -> Client:
        def heard(operation: Operation[..., Any], answer: Any) -> None:
            self.tell(f"client {number} {operation.system}/{operation.name} {answer!r}")

        return Client(self.network, SimulatedEnvironment(self.loop, f"client {number} {self._seed}"), heard)
