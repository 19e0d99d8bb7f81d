"""A watched namespace under simulation: what its followers are told, and what truncations leave of it.

Writes are repeated until they are acknowledged, so that in the end it is known what the namespace holds. Followers are
cut off again and again and go on after their last cursor; hosts end between any two calls of theirs, amid truncations
and the erasing of what they hide, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, TypeAlias, get_args

from soundstage.core.errors import DeadlineExceeded, Exhausted, InProgress, Unavailable
from soundstage.core.message import IdempotencyToken
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.operation import CallOptions
from soundstage.data.kv import KeyValue, PutItem
from soundstage.data.kv.api import ItemChange, KeyValueCalls, WatchItems
from soundstage.data.kv.truncated import stamp_of
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.testing.simulation.host import CONFIG, LOG
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Scenario, Site, Step
from soundstage.testing.simulation.written import Version, Writings, predicate_of, version_of

Act: TypeAlias = Literal["put", "delete", "truncate", "follow", "look", "erase"]
_WEIGHTS = (40, 14, 3, 22, 16, 5)

NAMESPACE = "people"
RECORDS = ("ada", "bob", "eve", "sue")
KEYS = (b"a", b"b", b"c")
TRIES_MAX = 600
RETRY_S = 0.05
FOLLOW_S = 2.0
KNOWN = (Unavailable, DeadlineExceeded, Exhausted, InProgress)


class ChangeStep(Step, frozen=True, kw_only=True, tag="changes"):
    """One call: of `record`, on `keys`, or on all of it where there are none; one who follows takes `most` messages."""

    act: Act
    record: str = ""
    keys: tuple[bytes, ...] = ()
    most: int = 0


@dataclass
class Follower:
    """How far one client was told, and what, record by record."""

    cursor: str = "0"
    told: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def hear(self, change: ItemChange) -> None:
        self.cursor = change.cursor
        place = "" if change.truncated else change.id
        self.told.setdefault(place, []).append(change.idempotency_token.token)


class ChangesPlay:
    """Writes, follows and reads; judges at once what is read, and in the end what was told."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sent = Writings()
        self._followers = [Follower() for _ in range(site.climate.clients)]

    async def prepare(self) -> None:
        """The namespace is there."""
        config = {"watch": True, "drift_past": "1h", "drift_future": "10s", "watch_retention": "30d"}
        spec = NamespaceSpec(name=NAMESPACE, abstraction="kv", config=config)
        await self._site.client(0, Namespaces).put(namespace=spec)

    async def play(self, step: ChangeStep) -> None:
        match step.act:
            case "put" | "delete" | "truncate":
                await self._write(step)
            case "follow":
                await self._follow(step.client, step.most)
            case "look":
                await self._look(step.client, step.record)
            case "erase":
                await self._erase()

    async def settle(self) -> None:
        """Everybody was told everything, once after each cursor and in order; and what is there is what was written."""
        truth = Follower()
        await self._hear_all(truth)
        for follower in self._followers:
            await self._hear_all(follower)
            self._compare(follower, truth)
        self._check_told(truth)
        for record in RECORDS:
            await self._look(0, record)
        await self._site.environment.sleep(2 * 3_600.0)
        await self._erase()
        for record in RECORDS:
            await self._look(0, record)

    async def _write(self, step: ChangeStep) -> None:
        token = self._site.machine(step.client).clock.token()
        deletes = step.act != "put"
        name = f"{step.act}-{step.number}"
        token = IdempotencyToken(token.generation_time, name)
        written = self._sent.begin(token, deletes, step.record or None, step.keys)
        send = self._sender(step, token)
        for _ in range(TRIES_MAX):
            try:
                await send()
            except KNOWN:
                self._site.note("uncertain")
                await self._site.environment.sleep(RETRY_S)
                continue
            self._sent.end(written)
            self._site.note("truncated" if step.act == "truncate" else "written")
            return
        raise Divergence(f"no answer in {TRIES_MAX} tries")

    def _sender(self, step: ChangeStep, token: IdempotencyToken) -> Callable[[], Awaitable[Any]]:
        kv = self._site.client(step.client, KeyValue, NAMESPACE)
        if step.act == "truncate":
            return lambda: kv.truncate(confirm=NAMESPACE, idempotency_token=token)
        if step.act == "put":
            items = [PutItem(key=key, value=token.token.encode()) for key in step.keys]
            return lambda: kv.put_items(id=step.record, items=items, idempotency_token=token)
        return lambda: kv.delete_items(id=step.record, predicate=predicate_of(step.keys), idempotency_token=token)

    async def _follow(self, client: int, most: int) -> None:
        """The client goes on after its cursor, and is cut off after so many messages or a while."""
        if not self._site.host.is_up:
            return
        follower = self._followers[client]
        if follower.cursor != "0":
            self._site.note("resumed")
        request = WatchItems(namespace=NAMESPACE, cursor=follower.cursor)
        with suppress(*KNOWN):
            options = CallOptions(deadline=FOLLOW_S)
            feed = self._site.host.stage.follow(KeyValueCalls.watch_items, request, options)
            async with aclosing(feed) as changes:
                async for change in changes:
                    follower.hear(change)
                    self._site.note("told")
                    most -= 1
                    if most <= 0:
                        return

    async def _hear_all(self, follower: Follower) -> None:
        """Until nothing has been said for a while."""
        request = WatchItems(namespace=NAMESPACE, cursor=follower.cursor)
        feed = self._site.host.stage.follow(KeyValueCalls.watch_items, request, CallOptions())
        async with aclosing(feed) as changes:
            while True:
                coming = asyncio.ensure_future(anext(changes))
                await asyncio.wait({coming}, timeout=FOLLOW_S)
                if not coming.done():
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
                    return
                follower.hear(coming.result())

    async def _look(self, client: int, record: str) -> None:
        """What is read of a record is explained by what was acknowledged before and sent since."""
        acknowledged = self._sent.acknowledged()
        kv, found = self._site.client(client, KeyValue, NAMESPACE), dict[bytes, Version]()
        try:
            async for page in kv.get_items.pages(id=record):
                found |= {item.key: version_of(item) for item in page.items}
        except KNOWN:
            return
        for key in KEYS:
            self._sent.judge(record, key, found.get(key), acknowledged)
        self._site.note("looked")

    async def _erase(self) -> None:
        """The role's work, once."""
        with suppress(*KNOWN):
            service: Any = await self._site.host.stage.systems.started("kv")
            erasure = await service.erase_truncated(NAMESPACE, lambda: None)
            if erasure is not None:
                self._site.note("forgotten" if erasure.last else "erased")

    def _compare(self, follower: Follower, truth: Follower) -> None:
        """Nothing after a cursor was missed or said twice."""
        for place in sorted({*follower.told, *truth.told}):
            heard, wanted = follower.told.get(place, []), truth.told.get(place, [])
            if not place:
                # Each is told in every part, and between parts there is no order.
                heard, wanted = sorted(heard), sorted(wanted)
            if heard != wanted:
                raise Divergence(f"of {place or 'truncations'} {heard} was told in parts, and {wanted} at once")

    def _check_told(self, truth: Follower) -> None:
        """Every acknowledged write is told, none that nobody sent, and those of a record in their order."""
        truncations = [each for each in self._sent.all if each.record is None and each.ended is not None]
        names = {stamp_of(each.time_us, each.token).token for each in truncations}
        if silent := names - set(truth.told.get("", [])):
            raise Divergence(f"the truncations {sorted(silent)} were not told")
        for record in RECORDS:
            told = list(dict.fromkeys(truth.told.get(record, [])))
            sent = {each.token: each for each in self._sent.all if each.record == record}
            lost = [each.token for each in sent.values() if each.ended is not None and each.token not in told]
            if lost or set(told) - set(sent):
                raise Divergence(f"of {record} {lost} was not told, and {sorted(set(told) - set(sent))} not written")
            latest = 0
            for token in told:
                ended = sent[token].ended
                if ended is not None and ended < latest:
                    raise Divergence(f"of {record} {token} was told behind a write that began after its end")
                latest = max(latest, sent[token].began)


class ChangesScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "changes"
    spared: frozenset[str] = SYSTEM_TABLES - {"system/namespaces"}
    config: Mapping[str, Any] = {"systems": {**CONFIG["systems"], "kv": {"changes_log": LOG}}}
    situations: Mapping[str, float] = {
        "written": 0.3,
        "uncertain": 0.001,
        "truncated": 0.01,
        "told": 0.05,
        "resumed": 0.05,
        "looked": 0.05,
        "erased": 0.005,
        "forgotten": 0.0002,
    }

    def draw(self, random: Random, number: int, client: int) -> ChangeStep:
        act = random.choices(get_args(Act), _WEIGHTS)[0]
        keys = tuple(sorted(random.sample(KEYS, random.choice((1, 1, 2)))))
        if act == "delete" and random.random() < 0.4:
            keys = ()
        return ChangeStep(
            number=number,
            client=client,
            pause_s=random.choice((0.0, 0.001, 0.01, 0.3)),
            act=act,
            record="" if act == "truncate" else random.choice(RECORDS),
            keys=() if act == "truncate" else keys,
            most=random.choice((1, 2, 7, 50)),
        )

    def open(self, site: Site, random: Random) -> Play:
        return ChangesPlay(site)


SCENARIO: Scenario = ChangesScenario()
