"""Sets of mutations under simulation: what was accepted is applied, in order, though hosts end and calls are lost.

Every mutation puts an item of its own, a *mark*, so that it can be seen whether it was applied; and one that others
write too, so that it can be seen whether the versions are right in the end. Hosts end between any two calls of theirs,
appends are cut off, and the role's work is done by one worker, and now and then by two at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from soundstage.core.errors import DeadlineExceeded, Exhausted, NotFound, SoundstageError, Unavailable
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, MatchKeys, Mutation, Predicate, PutItem, PutMutation
from soundstage.data.writeahead import MutationStatus, WriteAhead
from soundstage.data.writeahead.worker import Worker
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Scenario, Site, Step
from soundstage.testing.simulation.turn import Turn, aside, taking

Act: TypeAlias = Literal["submit", "delay", "repeat", "status", "order", "write", "double"]
_WEIGHTS = (32, 8, 14, 16, 20, 8, 2)

NAMESPACES = ("one", "two", "three")
RECORD = "all"
SHARED = b"shared"
TRIES_MAX = 400
RETRY_S = 0.05
SETTLE_S = 400.0
KNOWN = (Unavailable, DeadlineExceeded, Exhausted)


class SetStep(Step, frozen=True, kw_only=True, tag="writeahead"):
    """One call. `places` are the namespaces of the mutations of a set, in their order; `choice` picks a known set."""

    act: Act
    places: tuple[int, ...] = ()
    choice: int = 0
    delay_s: float = 0.0
    patient: bool = True


class Sent(NamedTuple):
    """A set as it was submitted. It is `accepted` once somebody was told so; `applied` is the most seen of it."""

    number: int
    request: dict[str, Any]
    places: tuple[str, ...]
    time_us: int

    def mark(self, index: int) -> bytes:
        return f"{self.number:06d}/{index}".encode()

    def version(self, index: int) -> tuple[int, str]:
        return self.time_us + index, f"set-{self.number}/{index}"


class WriteAheadPlay:
    """Submits sets and judges what is told of them, and what is seen of them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sent: list[Sent] = []
        self._accepted: dict[int, str] = {}
        self._applied: dict[int, int] = {}
        self._writes: list[tuple[str, tuple[int, str], bytes]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        """The namespaces are there, and the role is at work."""
        for name in NAMESPACES:
            spec = NamespaceSpec(name=name, abstraction="kv", config={"drift_past": "7d", "drift_future": "10s"})
            await self._site.client(0, Namespaces).put(namespace=spec)
        self._tasks.append(asyncio.ensure_future(self._keep_working()))

    async def play(self, step: SetStep) -> None:
        match step.act:
            case "submit" | "delay":
                await self._submit(step)
            case "repeat":
                await self._repeat(step)
            case "status":
                await self._status(step)
            case "order":
                await self._order(step)
            case "write":
                await self._write(step)
            case "double":
                await self._double()

    async def settle(self) -> None:
        """Everything accepted was applied whole, what was not is there whole or not at all, and versions are right."""
        for number, mutation_id in self._accepted.items():
            await self._await_applied(number, mutation_id)
        await self._site.environment.sleep(SETTLE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        there = [sent for sent in self._sent if await self._is_whole(sent)]
        if missing := set(self._accepted) - {sent.number for sent in there}:
            raise Divergence(f"the sets {sorted(missing)} were accepted and are not there")
        for name in NAMESPACES:
            await self._check_shared(name, there)

    async def _submit(self, step: SetStep) -> None:
        environment = self._site.machine(step.client).environment
        token = self._site.machine(step.client).clock.token(len(step.places))
        places = tuple(NAMESPACES[place] for place in step.places)
        request: dict[str, Any] = {"idempotency_token": IdempotencyToken(token.generation_time, f"set-{step.number}")}
        time_us = token.generation_time.us
        if step.act == "delay":
            request["apply_at"] = Instant.from_us(environment.now_us() + round(step.delay_s * 1e6))
            time_us = max(time_us, request["apply_at"].us)
            self._site.note("delayed")
        sent = Sent(step.number, request, places, time_us)
        request["mutations"] = [self._mutation(sent, index, place) for index, place in enumerate(places)]
        self._sent.append(sent)
        await self._send(step, sent)

    async def _repeat(self, step: SetStep) -> None:
        if self._sent:
            sent = self._sent[-1 - step.choice % min(30, len(self._sent))]
            self._site.note("repeated_accepted" if sent.number in self._accepted else "repeated_unknown")
            await self._send(step, sent)

    async def _send(self, step: SetStep, sent: Sent) -> None:
        """The set is accepted, or nobody knows whether it is."""
        kv = self._site.client(step.client, KeyValue)
        for _ in range(TRIES_MAX if step.patient else 1):
            try:
                reply = await kv.mutate_items(**sent.request)
            except KNOWN:
                self._site.note("uncertain")
                await self._site.environment.sleep(RETRY_S)
                continue
            known = self._accepted.setdefault(sent.number, reply.mutation_id)
            if known != reply.mutation_id:
                raise Divergence(f"the set {sent.number} was called {known} and then {reply.mutation_id}")
            if reply.idempotency_token.generation_time.us != sent.time_us:
                raise Divergence(f"the set {sent.number} of {sent.time_us} was accepted as of {reply}")
            self._site.note("accepted")
            return

    async def _status(self, step: SetStep) -> None:
        """What is told of a set that was accepted goes on and never back."""
        if not self._accepted:
            return
        numbers = list(self._accepted)
        number = numbers[-1 - step.choice % min(30, len(numbers))]
        before = self._applied.get(number, 0)
        with suppress(*KNOWN):
            self._judge(number, await self._told(step.client, self._accepted[number]), before)

    def _judge(self, number: int, status: MutationStatus, before: int) -> None:
        sent = next(sent for sent in self._sent if sent.number == number)
        if status.state == "dead" or status.mutations != len(sent.places):
            raise Divergence(f"the set {number} of {len(sent.places)} mutations is {status}")
        if status.applied < before or (status.state == "applied" and status.applied != status.mutations):
            raise Divergence(f"of the set {number} {before} mutations were applied, and now {status}")
        self._applied[number] = max(self._applied.get(number, 0), status.applied)
        self._site.note(status.state)

    async def _told(self, client: int, mutation_id: str) -> MutationStatus:
        return await self._site.client(client, WriteAhead).status(mutation_id=mutation_id)

    async def _order(self, step: SetStep) -> None:
        """Of a set, looked at from its last mutation to its first: once one is there, all before it are."""
        if not self._sent:
            return
        sent = self._sent[-1 - step.choice % min(10, len(self._sent))]
        least, seen = self._applied.get(sent.number, 0), False
        for index in reversed(range(len(sent.places))):
            try:
                there = await self._is_there(step.client, sent, index)
            except KNOWN:
                return
            if (seen or index < least) and not there:
                raise Divergence(f"of the set {sent.number} mutation {index} is not there, though one after it is")
            seen = seen or there
        if seen:
            self._site.note("seen")

    async def _write(self, step: SetStep) -> None:
        """A write of the shared item, beside those of sets; it is repeated until it is acknowledged."""
        name = NAMESPACES[step.choice % len(NAMESPACES)]
        token = self._site.machine(step.client).clock.token()
        token = IdempotencyToken(token.generation_time, f"write-{step.number}")
        items = [PutItem(key=SHARED, value=b"own")]
        self._writes.append((name, (token.generation_time.us, token.token), b"own"))
        for _ in range(TRIES_MAX):
            try:
                kv = self._site.client(step.client, KeyValue, name)
                await kv.put_items(id=RECORD, items=items, idempotency_token=token)
                return
            except KNOWN:
                await self._site.environment.sleep(RETRY_S)
        raise Divergence(f"no answer in {TRIES_MAX} tries")

    async def _double(self) -> None:
        """Two at a time do the role's work, as when a process that was paused goes on after its lease."""
        with suppress(*KNOWN, asyncio.CancelledError):
            service: Any = await self._site.host.stage.systems.started("kv")
            await Worker(*await service.mutations.journal()).round()
            self._site.note("doubled")

    async def _keep_working(self) -> None:
        """The host's role is at work whenever there is a host; it meets faults by dice of its own."""
        while True:
            restarts = self._site.host.restarts
            with taking(Turn(Random(f"role {restarts}"))):
                working = asyncio.ensure_future(self._work())
            while not working.done() and restarts == self._site.host.restarts and self._site.host.is_up:
                await asyncio.wait({working}, timeout=0.1)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await self._site.environment.sleep(0.2)

    async def _work(self) -> None:
        with suppress(SoundstageError):
            service: Any = await self._site.host.stage.systems.started("kv")
            await Worker(*await service.mutations.journal()).run()

    def _mutation(self, sent: Sent, index: int, place: str) -> Mutation:
        value = f"{sent.number}/{index}".encode()
        items = [PutItem(key=sent.mark(index), value=b""), PutItem(key=SHARED, value=value)]
        return Mutation(put=PutMutation(namespace=place, id=RECORD, items=items))

    async def _is_there(self, client: int, sent: Sent, index: int) -> bool:
        kv = self._site.client(client, KeyValue, sent.places[index])
        predicate = Predicate(match_keys=MatchKeys(keys=[sent.mark(index)]))
        found = (await kv.get_items(id=RECORD, predicate=predicate)).items
        if found:
            token = found[0].metadata.token
            if (token.generation_time.us, token.token) != sent.version(index):
                raise Divergence(f"mutation {index} of the set {sent.number} is there as {token}")
        return bool(found)

    async def _is_whole(self, sent: Sent) -> bool:
        there = {await self._is_there(0, sent, index) for index in range(len(sent.places))}
        if len(there) != 1:
            raise Divergence(f"the set {sent.number} is there in part")
        return there.pop()

    async def _await_applied(self, number: int, mutation_id: str) -> None:
        for _ in range(TRIES_MAX):
            try:
                status = await self._told(0, mutation_id)
            except NotFound:
                # Remembered for two days, and a run may rest for longer.
                return
            self._judge(number, status, self._applied.get(number, 0))
            if status.state == "applied":
                return
            await self._site.environment.sleep(1.0)
        raise Divergence(f"the set {number} is not applied in {TRIES_MAX} s")

    async def _check_shared(self, name: str, there: list[Sent]) -> None:
        """The item that all write is of the greatest version."""
        written = [(version, value) for place, version, value in self._writes if place == name]
        for sent in there:
            for index, place in enumerate(sent.places):
                if place == name:
                    written.append((sent.version(index), f"{sent.number}/{index}".encode()))
        predicate = Predicate(match_keys=MatchKeys(keys=[SHARED]))
        with aside():
            kv = self._site.client(0, KeyValue, name)
            found = (await kv.get_items(id=RECORD, predicate=predicate)).items
        values = [item.value for item in found]
        if values != [value for _, value in sorted(written)[-1:]]:
            raise Divergence(f"{name} holds {values}, and was last given {sorted(written)[-1:]}")


class WriteAheadScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "writeahead"
    spared: frozenset[str] = SYSTEM_TABLES
    situations: Mapping[str, float] = {
        "accepted": 0.2,
        "uncertain": 0.0001,
        "repeated_accepted": 0.02,
        "delayed": 0.02,
        "pending": 0.002,
        "applied": 0.02,
        "seen": 0.05,
        "doubled": 0.005,
    }

    def draw(self, random: Random, number: int, client: int) -> SetStep:
        return SetStep(
            number=number,
            client=client,
            pause_s=random.choice((0.0, 0.001, 0.01, 0.3)),
            act=random.choices(get_args(Act), _WEIGHTS)[0],
            places=tuple(random.randrange(len(NAMESPACES)) for _ in range(random.choice((1, 2, 3, 6)))),
            choice=random.randrange(1_000),
            delay_s=random.choice((0.01, 1.0, 20.0)),
            patient=random.random() < 0.8,
        )

    def open(self, site: Site, random: Random) -> Play:
        return WriteAheadPlay(site)


SCENARIO: Scenario = WriteAheadScenario()
