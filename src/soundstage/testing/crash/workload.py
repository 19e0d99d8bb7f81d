"""Clients that write while their server is killed, and know to the byte what must be there afterwards.

Each writer owns two records and sends one call after the other: puts of several items, deletes of keys, of
ranges and of whole records. What was answered happened; the call under way when the server died, its only one
in doubt, happened whole or not at all. All writers together count in a third record, by conditional writes.
Readers watch meanwhile: what a reader was shown is promised too.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any

import msgspec

from soundstage.client import Connection, connect
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import PreconditionFailed
from soundstage.core.hlc import TokenClock
from soundstage.core.message import IdempotencyToken
from soundstage.data.kv.api import (
    Condition,
    Item,
    KeyValue,
    MatchAll,
    MatchKeys,
    MatchRange,
    Predicate,
    PutItem,
)
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.testing.crash.traffic import Broken, Traffic

NAMESPACE = "crash"
HEAD = b"head"

LARGE_EVERY = 25
"""One call in so many is large enough to be torn across the pages of a log."""

INCREMENT_SHARE = 0.15
DELETE_SHARE = 0.25

Items = dict[bytes, bytes]


class Call(msgspec.Struct, frozen=True):
    """One write. `deleted` says which items it removes before it puts `puts`; one of the two is given."""

    number: int
    record: str
    token: IdempotencyToken
    puts: Items = {}
    deleted: Predicate | None = None

    async def send(self, kv: KeyValue) -> None:
        """The call is made; again with the same token, it is made once."""
        if self.deleted is not None:
            await kv.delete_items(id=self.record, predicate=self.deleted, idempotency_token=self.token)
            return
        items = [PutItem(key=key, value=value) for key, value in self.puts.items()]
        await kv.put_items(id=self.record, items=items, idempotency_token=self.token)

    def applied(self, items: Items) -> Items:
        """The record after the call, if it was `items` before."""
        return {**{key: value for key, value in items.items() if not self._deletes(key)}, **self.puts}

    def _deletes(self, key: bytes) -> bool:
        where = self.deleted
        if where is None:
            return False
        if where.match_keys is not None:
            return key in where.match_keys.keys
        if where.match_range is not None:
            return (where.match_range.start or b"") <= key and key < (where.match_range.end or b"\xff")
        return True


class Writer:
    """Its records, as they must be; the call in doubt; the greatest head that anybody was shown."""

    def __init__(self, number: int, random: Random, clock: TokenClock) -> None:
        self.id: str = f"writer-{number}"
        self.scratch: str = f"scratch-{number}"
        self.sent: int = 0
        self.acknowledged: int = 0
        self.doubt: Call | None = None
        self.shown: int = -1
        self.expected: dict[str, Items] = {self.id: {}, self.scratch: {}}
        self._random = random
        self._clock = clock

    async def write(self, kv: KeyValue) -> None:
        """The next call is answered; an error leaves it in doubt."""
        call = self.doubt = self._next()
        await call.send(kv)
        self._happened(call)
        self.acknowledged += 1

    async def watch(self, kv: KeyValue) -> None:
        """Read the head; it never goes back."""
        reply = await kv.get_items(id=self.id, predicate=Predicate(match_keys=MatchKeys(keys=[HEAD])))
        self._see_head(reply.items)

    async def verify(self, kv: KeyValue) -> None:
        """Raise `Broken` unless the records are as promised; then the call in doubt is in doubt no more.

        Half of the time that call is sent again first, as a client would do.
        """
        if self.doubt is not None and self._random.random() < 0.5:
            await self.doubt.send(kv)
            self._happened(self.doubt)
        for record in self.expected:
            items = [item async for page in kv.get_items.pages(id=record) for item in page.items]
            self._compare(record, {item.key: item.value or b"" for item in items})
            if record == self.id:
                self._see_head(items)
        self.doubt = None

    def _compare(self, record: str, found: Items) -> None:
        expected = self.expected[record]
        if found == expected:
            return
        doubt = self.doubt
        if doubt is not None and doubt.record == record and found == doubt.applied(expected):
            self._happened(doubt)
            return
        without = _difference(expected, found)
        if doubt is None or doubt.record != record:
            raise Broken(f"{record}: {without}")
        with_it = _difference(doubt.applied(expected), found)
        raise Broken(f"{record}: without the call in doubt {without}; with it {with_it}")

    def _happened(self, call: Call) -> None:
        self.expected[call.record] = call.applied(self.expected[call.record])
        self.doubt = None

    def _see_head(self, items: Sequence[Item]) -> None:
        head = next((int(item.value or b"-1") for item in items if item.key == HEAD), -1)
        if head < self.shown:
            raise Broken(f"{self.id}: the head {self.shown} was shown, and then {head}")
        self.shown = head

    def _next(self) -> Call:
        self.sent += 1
        number, random, token = self.sent, self._random, self._clock.token()
        if random.random() < DELETE_SHARE:
            return self._delete(number, token)
        if random.random() < 0.2:
            return Call(number, self.scratch, token, _batch(self.scratch, number, random))
        return Call(number, self.id, token, {**_batch(self.id, number, random), HEAD: b"%d" % number})

    def _delete(self, number: int, token: IdempotencyToken) -> Call:
        earlier = self._random.randint(1, number)
        kind = self._random.choice(("keys", "range", "record"))
        if kind == "record":
            return Call(number, self.scratch, token, deleted=Predicate(match_all=MatchAll()))
        if kind == "range":
            start, end = b"call/%08d/" % earlier, b"call/%08d0" % (earlier + 1)
            return Call(number, self.id, token, deleted=Predicate(match_range=MatchRange(start=start, end=end)))
        keys = [_key(earlier, index) for index in range(2)]
        return Call(number, self.id, token, deleted=Predicate(match_keys=MatchKeys(keys=keys)))


class Counter:
    """A number that all writers raise by conditional writes: each success raises it once, whatever happens."""

    id = "counter"
    key = b"n"

    def __init__(self, clock: TokenClock) -> None:
        self.acknowledged: int = 0
        self.raised: int = 0
        self.shown: int = 0
        self._clock = clock
        self._doubts: list[tuple[int, Condition, IdempotencyToken]] = []

    @property
    def in_doubt(self) -> int:
        return len(self._doubts)

    async def increment(self, kv: KeyValue) -> None:
        """One more, unless another writer was quicker; an error leaves it in doubt."""
        value, token = await self._read(kv)
        self.shown = max(self.shown, value)
        condition = Condition(key=self.key, token=token) if token else Condition(key=self.key, absent=True)
        attempt = value + 1, condition, self._clock.token()
        self._doubts.append(attempt)
        if await self._put(kv, *attempt):
            self.acknowledged += 1
        self._doubts.remove(attempt)

    async def verify(self, kv: KeyValue) -> None:
        """Raise `Broken` unless the number is that of the successes, once those in doubt were sent again."""
        for attempt in self._doubts:
            await self._put(kv, *attempt)
        self._doubts.clear()
        value, _ = await self._read(kv)
        if value != self.raised:
            raise Broken(f"the counter is {value} after {self.raised} increments")
        if value < self.shown:
            raise Broken(f"the counter {self.shown} was shown, and then {value}")

    async def _put(self, kv: KeyValue, value: int, condition: Condition, token: IdempotencyToken) -> bool:
        try:
            await kv.put_items(
                id=self.id,
                items=[PutItem(key=self.key, value=b"%d" % value)],
                condition=condition,
                idempotency_token=token,
            )
        except PreconditionFailed:
            return False
        self.raised += 1
        return True

    async def _read(self, kv: KeyValue) -> tuple[int, IdempotencyToken | None]:
        reply = await kv.get_items(id=self.id, predicate=Predicate(match_keys=MatchKeys(keys=[self.key])))
        if not reply.items:
            return 0, None
        return int(reply.items[0].value or b"0"), reply.items[0].metadata.token


class Workload(Traffic):
    """Some writers, a counter and a reader against one server after another; `seed` decides who does what."""

    def __init__(self, writers: int, seed: int = 0) -> None:
        super().__init__()
        clock = TokenClock(SystemEnvironment())
        self.writers: list[Writer] = [Writer(number, Random(f"{seed} {number}"), clock) for number in range(writers)]
        self.counter: Counter = Counter(clock)
        self._random = Random(f"{seed} counter")

    @property
    def acknowledged(self) -> int:
        return sum(writer.acknowledged for writer in self.writers) + self.counter.acknowledged

    @property
    def in_doubt(self) -> int:
        return sum(writer.doubt is not None for writer in self.writers) + self.counter.in_doubt

    async def prepare(self, url: str) -> None:
        async with connect(url) as connection:
            spec = NamespaceSpec(name=NAMESPACE, abstraction="kv", config={"conditional_writes": True})
            await connection.client(Namespaces).put(namespace=spec)

    def clients(self, connection: Connection) -> Sequence[Coroutine[Any, Any, None]]:
        kv = connection.client(KeyValue, NAMESPACE)
        return [*(self._keep_writing(writer, kv) for writer in self.writers), self._keep_watching(kv)]

    async def check(self, connection: Connection) -> None:
        kv = connection.client(KeyValue, NAMESPACE)
        for part in (*self.writers, self.counter):
            await part.verify(kv)

    async def _keep_writing(self, writer: Writer, kv: KeyValue) -> None:
        while True:
            if self._random.random() < INCREMENT_SHARE:
                await self.counter.increment(kv)
            else:
                await writer.write(kv)
            self.noted()

    async def _keep_watching(self, kv: KeyValue) -> None:
        while True:
            for writer in self.writers:
                await writer.watch(kv)


def _batch(record: str, number: int, random: Random) -> Items:
    large = random.random() < 1 / LARGE_EVERY
    count, repeat = (100, 100) if large else (random.randint(1, 6), random.randint(1, 20))
    value = f"{record} {number} ".encode() * repeat
    return {_key(number, index): value for index in range(count)}


def _key(number: int, index: int) -> bytes:
    return b"call/%08d/%04d" % (number, index)


def _difference(expected: Items, found: Items) -> str:
    """What is missing and what is too much, by a few keys."""
    missing = sorted(key for key in expected if found.get(key) != expected[key])
    surplus = sorted(key for key in found if key not in expected)
    return " and ".join(
        f"{len(keys)} items are {what}, first {keys[0].decode()}"
        for keys, what in ((missing, "gone"), (surplus, "too many"))
        if keys
    )
