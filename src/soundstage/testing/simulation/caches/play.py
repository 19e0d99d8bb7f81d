"""Clients that write and read by way of two servers with one store and one cache, and what happens to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from soundstage.core.errors import PreconditionFailed
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import api
from soundstage.data.kv.own_writes import OwnWrites
from soundstage.testing.simulation.caches.book import Asked, Book, Write, Written, deleted, put
from soundstage.testing.simulation.caches.crew import ANSWER_S, KNOWN, Crew
from soundstage.testing.simulation.caches.nodes import NO_FAULTS, CacheRates, SharedCache
from soundstage.testing.simulation.caches.server import NAMESPACE, Server
from soundstage.testing.simulation.caches.sets import MutationSets
from soundstage.testing.simulation.caches.truncations import Truncations
from soundstage.testing.simulation.scenario import Divergence, Site, Step
from soundstage.testing.simulation.turn import aside, dice, holding

Act: TypeAlias = Literal[
    "put",
    "delete",
    "clear",
    "read",
    "race",
    "kill",
    "stop",
    "pause",
    "weather",
    "node",
    "cut_off",
    "evict",
    "wait",
    "swap",
    "mutate",
    "truncate",
    "erase",
]

SERVERS = 2
RECORDS = ("alpha", "b", "c", "d", "e")
KEYS = (b"", b"a", b"b")
TRIES = 12
RETRY_S = 0.2
LATE_S = 60.0
"""What a read that is slow, or paused, adds to the time for which an answer is kept."""

CALM = 0.3
"""Of all runs, in which nothing is wrong with the cache, so that more can be asked of it."""

HOLDS_S = (0.0, 0.02, 0.3)
"""How long a write that is raced takes to the store."""

GLIMPSES = 10
"""How often it is read meanwhile, at most."""

GAP_S = 0.08
SHORT_S = 0.5
SETTLE_S = 120.0
UNKEPT_S = 95.0
"""So long after a change of the namespace nothing is kept, and a little more."""


GET: Any = api.KeyValueCalls.get_items


class CacheStep(Step, frozen=True, kw_only=True, tag="caches"):
    """One call at `server`, or what happens to it, or to the cache.

    A write is as old as `age_s`, and repeated until it is known if it is `patient`. A read that is `own` goes with what
    its connection has written. `choice` is what else has to be chosen.
    """

    act: Act
    server: int = 0
    record: str = RECORDS[0]
    keys: tuple[bytes, ...] = (b"",)
    age_s: float = 0.0
    ttl_s: float = 0.0
    patient: bool = True
    own: bool = False
    for_s: float = 0.0
    skew: float = 0.0
    choice: int = 0


class _Sent(NamedTuple):
    """A write, and the call that makes it."""

    operation: str
    request: Any
    write: Write


class CachesPlay:
    """Two servers, a store that fails as the climate says, and a cache that fails as drawn here."""

    def __init__(self, site: Site, random: Random) -> None:
        self.site = site
        self.shared: SharedCache = SharedCache(site.environment)
        self.rough: CacheRates = draw_rates(random)
        self.ttl_s: int = random.choice((2, 10, 120))
        self.latency_s: float = random.choice((0.0, 0.000_5, 0.005))
        self.calm: bool = random.random() < CALM
        self.book: Book = Book(self.ttl_s, LATE_S, calm=self.calm)
        self.servers: list[Server] = [Server(site.add_process(), self.shared, site.host.log) for _ in range(SERVERS)]
        self._crew = Crew(site, self.servers, self.book)
        self._sets = MutationSets(self._crew, RECORDS, KEYS)
        self._truncations = Truncations(self._crew, RECORDS, KEYS)
        self._memories: list[OwnWrites] = [
            OwnWrites(site.machine(number).environment) for number in range(site.climate.clients)
        ]
        self._config: dict[str, Any] = {
            "consistency": "read_your_writes",
            "drift_past": random.choice(("1m", "10m")),
            "drift_future": "10s",
            "cache": {"engine": "hot", "ttl": f"{self.ttl_s}s", "wait": random.choice(("0ms", "200ms", "2s"))},
        }

    async def prepare(self) -> None:
        await self.shared.start()
        for server in self.servers:
            await server.start(0.0)
            if server is self.servers[0]:
                await server.configure(NamespaceSpec(name=NAMESPACE, abstraction="kv", config=self._config))
        # What a process that follows late may write comes while nothing is kept.
        self.shared.latency_s = self.latency_s

    async def play(self, step: CacheStep) -> None:
        server = self.servers[step.server]
        match step.act:
            case "put" | "delete" | "clear":
                await self._write(step, self._sent(step))
            case "read":
                await self._read(step)
            case "race":
                await self._race(step)
            case "swap":
                await self._swap(step)
            case "mutate":
                clock = self.site.machine(step.client).clock
                await self._sets.play(step.number, clock, server, self.servers[step.choice % SERVERS])
            case "truncate":
                await self._truncate(step)
            case "erase":
                await self._truncations.erase(server)
            case "kill" | "stop":
                await self._end(step, server)
            case "pause":
                if server.stage is not None and server.pause(step.for_s):
                    self.site.note("paused")
            case "wait":
                await self.site.environment.sleep(step.for_s)
            case _ if self.calm:
                self.site.note("calm")
            case "weather":
                self.shared.rates = self.rough if step.choice % 2 else NO_FAULTS
            case "node":
                await self._node(step)
            case "cut_off":
                await self._cut_off(step.server, step.for_s)
            case "evict":
                await self._evict(step.choice)

    async def settle(self) -> None:
        """All that was owed is told, everybody sees the last write, and what is read again is kept."""
        self.shared.rates, self.shared.down, self.shared.cut_off = NO_FAULTS, set(), set()
        for server in self.servers:
            server.process.resume()
            if server.stage is None:
                await server.start(0.0)
        await self._sets.settle()
        await self.site.environment.sleep(SETTLE_S)
        await self._check_store()
        for server in self.servers:
            if server.records is None or server.records.heads.owed:
                raise Divergence(f"server {server.process.number} still owes the cache a word")
        last = CacheStep(number=-1, client=0, act="put", keys=KEYS)
        for record in RECORDS:
            await self._write(msgspec.structs.replace(last, record=record), None)
        before = self._all_hits()
        for _ in range(2):
            for record in RECORDS:
                for server in self.servers:
                    await self._read(msgspec.structs.replace(last, record=record, server=server.process.number))
        if self._all_hits() == before:
            raise Divergence("nothing is answered by the cache, though nothing is wrong any more")

    async def _check_store(self) -> None:
        """The store, which no cache answers for, has all that was acknowledged, and the sets that were accepted."""
        for record in RECORDS:
            request = api.GetItems(namespace=NAMESPACE, id=record, selection=api.Selection())
            reply, times_us = await self._crew.within(self.servers[0].call("get_items", request, ANSWER_S))
            least = {key: self.book.newest(record, key) for key in KEYS}
            step = CacheStep(number=-1, client=0, act="read", record=record)
            self._judge(step, KEYS, least, reply, (times_us[0], times_us[1] + self._apart_us))

    def _all_hits(self) -> int:
        return sum(self._hits(server) for server in self.servers)

    def _hits(self, server: Server) -> int:
        return (
            0 if server.records is None else server.records.tier.counts["hit"] + server.records.tier.counts["negative"]
        )

    # Writes.

    def _sent(self, step: CacheStep) -> _Sent:
        machine = self.site.machine(step.client)
        token = machine.clock.token()
        time_us = token.generation_time.us - round(step.age_s * 1e6)
        token = IdempotencyToken(Instant.from_us(time_us), token.token)
        value = b"%d" % step.number
        named: dict[str, Any] = {"namespace": NAMESPACE, "id": step.record, "idempotency_token": token}
        match step.act:
            case "put":
                ttl = msgspec.UNSET if not step.ttl_s else round(step.ttl_s * 1e9)
                expires_us = time_us + round(step.ttl_s * 1e6) if step.ttl_s else 0
                items = [_put_item(key, value, ttl) for key in step.keys]
                versions = {key: put(time_us, token.token, expires_us, value) for key in step.keys}
                request: Any = api.PutItems(**named, items=items)
            case "delete":
                versions = {key: deleted(time_us, token.token) for key in step.keys}
                request = api.DeleteItems(**named, predicate=_keys(step.keys))
            case _:
                versions = {key: deleted(time_us, token.token) for key in KEYS}
                request = api.DeleteItems(**named, predicate=api.Predicate(match_all=api.MatchAll()))
        operation = "put_items" if step.act == "put" else "delete_items"
        return _Sent(operation, request, Write(step.client, self._now_s, versions))

    async def _swap(self, step: CacheStep) -> None:
        """An item is put on the condition that it is as it was read a moment ago."""
        server, key = self.servers[step.server], step.keys[0]
        request = api.GetItems(namespace=NAMESPACE, id=step.record, predicate=_keys([key]))
        try:
            reply, _ = await self._crew.within(server.call("get_items", request, ANSWER_S))
        except KNOWN:
            self.site.note("unreachable")
            return
        known = reply.items[0] if reply.items else None
        condition = api.Condition(key=key, absent=known is None, token=known and known.metadata.token)
        token = self.site.machine(step.client).clock.token()
        value = b"%d" % step.number
        version = put(token.generation_time.us, token.token, 0, value)
        swap = api.PutItems(
            namespace=NAMESPACE,
            id=step.record,
            idempotency_token=token,
            items=[api.PutItem(key=key, value=value)],
            condition=condition,
        )
        write = Write(step.client, self._now_s, {key: version}, unstamped=True)
        before = self.book.newest(step.record, key, self._now_s)
        try:
            await self._write(step, _Sent("put_items", swap, write))
        except PreconditionFailed:
            self.site.note("not_swapped")
            return
        if write.unstamped:
            return
        self.site.note("swapped")
        if before is not None and known is not None and _written(known) < before:
            raise Divergence(f"{step.record!r} {key!r} was swapped as {_written(known)}, and was {before} by then")

    async def _truncate(self, step: CacheStep) -> None:
        """The namespace is truncated; what was kept before, and what is kept once that may be again, is looked at."""
        reads = [self._look(msgspec.structs.replace(step, record=record), at) for record in RECORDS for at in (0, 1)]
        await asyncio.gather(*(self._read(read) for read in reads))
        token = self.site.machine(step.client).clock.token()
        if not await self._truncations.truncate(token, self.servers[step.server]) or step.choice % 2:
            return
        await asyncio.gather(*(self._read(read) for read in reads))
        await self.site.environment.sleep(UNKEPT_S)
        for _ in range(2):
            await asyncio.gather(*(self._read(read) for read in reads))

    async def _write(self, step: CacheStep, sent: _Sent | None) -> None:
        """The write is acknowledged, or nobody knows."""
        sent = sent or self._sent(step)
        self.book.begin(step.record, sent.write)
        for tried in range(TRIES if step.patient else 1):
            server = self.servers[(step.server + tried) % SERVERS]
            author = server.author
            try:
                reply, _ = await self._crew.within(server.call(sent.operation, sent.request, ANSWER_S))
            except KNOWN:
                self.site.note("uncertain")
                await self.site.environment.sleep(RETRY_S)
                continue
            if sent.write.unstamped:
                sent.write.stamp(reply.idempotency_token.generation_time.us)
            if author != server.author or server.stage is None:
                # It was answered by one that is gone by now.
                self.book.acknowledge(step.record, sent.write, author, self._now_s, told=False)
            else:
                told = self._crew.has_told(author, step.record)
                self.book.acknowledge(step.record, sent.write, author, self._now_s, told=told)
                self.site.note("told" if told else "untold")
            self._memories[step.client].answered(sent.request, reply)
            self.site.tell(f"client {step.client} wrote {step.record} {reply.idempotency_token}")
            return

    # Reads.

    async def _read(self, step: CacheStep) -> None:
        server = self.servers[step.server]
        keys = KEYS if step.choice % 3 == 0 else step.keys
        predicate = None if step.choice % 3 == 0 else _keys(step.keys)
        request = api.GetItems(namespace=NAMESPACE, id=step.record, predicate=predicate)
        self.book.tell(self._crew.has_told, self._now_s)
        asked = Asked(self._now_s, server.author, step.client if step.own else None)
        least = {key: self.book.least(step.record, asked, key) for key in keys}
        hits = self._hits(server)
        times_us = [0, 0]

        async def send(request: Any) -> Any:
            reply, times_us[:] = await self._crew.within(server.call("get_items", request, ANSWER_S))
            return reply

        try:
            if step.own:
                reply = await self._memories[step.client].around(GET, request, send)
            else:
                reply = await send(request)
        except KNOWN:
            self.site.note("unreachable")
            return
        if self._hits(server) > hits:
            self.site.note("hit")
        # What is kept was read by a server to whose clock it may have expired already.
        self._judge(step, keys, least, reply, (times_us[0], times_us[1] + self._apart_us))

    @property
    def _apart_us(self) -> int:
        """By so much the clocks of two servers may differ."""
        return round(2e6 * self.site.climate.skew_s)

    def _judge(
        self,
        step: CacheStep,
        keys: Sequence[bytes],
        least: dict[bytes, Written | None],
        reply: api.GetItemsReply,
        times_us: tuple[int, int],
    ) -> None:
        if reply.next_page_token is not None:
            # A store may end its page early; what comes after it is not read here.
            keys = [key for key in keys if reply.items and key <= reply.items[-1].key]
        seen = {item.key: _written(item) for item in reply.items}
        self.site.tell(f"client {step.client} read {step.record} {seen}")
        newest = [self.book.check(step.record, key, least[key], seen.get(key), times_us) for key in keys]
        self.site.note("own" if step.own else "read")
        if not all(newest):
            self.site.note("behind")
        record_us = 0 if reply.record_token is None else reply.record_token.generation_time.us
        self.site.machine(step.client).clock.observe(record_us)

    # What happens.

    async def _end(self, step: CacheStep, server: Server) -> None:
        if server.stage is None or server.process.is_paused:
            return
        owed = server.records is not None and server.records.heads.owed
        await (server.kill() if step.act == "kill" else server.stop())
        self.site.note("died_owing" if owed else "ended")
        await self.site.environment.sleep(step.for_s)
        with aside():
            await server.start(step.skew * self.site.climate.skew_s)

    async def _race(self, step: CacheStep) -> None:
        """A record is read while it is written, here and there; its head may be lost, and its writer held up."""
        other, writing, cut_off = 1 - step.server, list[asyncio.Future[None]](), list[asyncio.Future[None]]()
        with holding(HOLDS_S[step.choice % 3]):
            for number in range(1 + (step.choice % 4 == 0)):
                write = msgspec.structs.replace(step, act="put" if (step.choice + number) % 5 else "clear")
                writing.append(asyncio.ensure_future(self._write(write, None)))
            for glimpse in range(dice().randint(1, GLIMPSES)):
                await self.site.environment.sleep(dice().uniform(0.0, GAP_S))
                if not self.calm and dice().random() < 0.4:
                    await self._evict(glimpse)
                if not self.calm and dice().random() < 0.1:
                    cut_off.append(asyncio.ensure_future(self._cut_off(step.server, SHORT_S)))
                if dice().random() < 0.2 and self.servers[step.server].stage is not None:
                    self.servers[step.server].process.pause(dice().uniform(0.0, SHORT_S))
                where = other if dice().random() < 0.8 else step.server
                await self._read(self._look(step, where))
            await asyncio.gather(*writing)
        # Who reaches the cache again owes it the word for a moment still.
        await asyncio.gather(*cut_off)
        for server in (other, step.server):
            await self._read(self._look(step, server))

    def _look(self, step: CacheStep, server: int) -> CacheStep:
        keys = KEYS[: dice().randint(1, 2)]
        return msgspec.structs.replace(
            step, act="read", server=server, keys=keys, own=dice().random() < 0.3, choice=dice().randrange(3)
        )

    async def _cut_off(self, server: int, seconds: float) -> None:
        """The server reaches no node for a while, and others do."""
        if server in self.shared.cut_off:
            return
        self.shared.cut_off.add(server)
        await self.site.environment.sleep(seconds)
        self.shared.cut_off.discard(server)
        self.site.note("cut_off")

    async def _evict(self, choice: int) -> None:
        """Heads, answers, or both are lost, some or all of them."""
        beginning = (b"kvh", b"kva", b"kv")[choice % 3]
        await self.shared.evict(beginning, (0.3, 1.0)[choice % 2])
        self.site.note("evicted")

    async def _node(self, step: CacheStep) -> None:
        number = step.choice % 2
        if number in self.shared.down:
            return
        self.shared.down.add(number)
        await self.site.environment.sleep(step.for_s)
        if step.choice % 4 < 2:
            await self.shared.forget(number)
        self.shared.down.discard(number)
        self.site.note("node_gone")

    @property
    def _now_s(self) -> float:
        return self.site.loop.time()


def draw_rates(random: Random) -> CacheRates:
    """The faults of the cache in rough weather."""

    def rate(most: float) -> float:
        return random.choice((0.0, random.uniform(0.0, most)))

    return CacheRates(
        refused=rate(0.1),
        lost=rate(0.05),
        answer_lost=rate(0.05),
        slow=rate(0.3),
        late=rate(0.05),
        late_s=random.choice((0.1, 5.0)),
    )


def _put_item(key: bytes, value: bytes, ttl: Any) -> api.PutItem:
    return api.PutItem(key=key, value=value) if ttl is msgspec.UNSET else api.PutItem(key=key, value=value, ttl=ttl)


def _keys(keys: Sequence[bytes]) -> api.Predicate:
    return api.Predicate(match_keys=api.MatchKeys(keys=list(keys)))


def _written(item: api.Item) -> Written:
    expires = item.metadata.expires_at
    token = item.metadata.token
    expires_us = 0 if expires is None else expires.us
    return put(token.generation_time.us, token.token, expires_us, item.value or b"")
