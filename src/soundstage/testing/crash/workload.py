"""Clients that write while their server is killed, and remember what they were promised.

Each writer owns one record. Call number n puts two items of its own and the item `head`, whose value is n;
every tenth call deletes the two items of an earlier one instead. Readers watch the heads meanwhile: what a
reader was shown is promised too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from soundstage.client import Connection, Settings, connect
from soundstage.core.errors import SoundstageError
from soundstage.core.policy import RetryPolicy
from soundstage.data.kv.api import Item, KeyValue, MatchKeys, MatchRange, Predicate, PutItem
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec

NAMESPACE = "crash"
HEAD = b"head"
DELETE_EVERY = 10
DELETE_BACK = 5
ONE_TRY = Settings(retry=RetryPolicy(retries=0), timeout=10.0)


class Broken(AssertionError):
    """A promise was broken: something acknowledged is gone, or something is half there."""


class Writer:
    """One record, and what is known of it."""

    def __init__(self, number: int) -> None:
        self.id: str = f"writer-{number}"
        self.sent: int = -1
        self.acknowledged: set[int] = set()
        self.in_doubt: set[int] = set()
        self.head_shown: int = -1

    async def write(self, kv: KeyValue) -> None:
        """Send the next call; an error leaves it in doubt."""
        self.sent += 1
        number = self.sent
        self.in_doubt.add(number)
        if deletes(number):
            await kv.delete_items(id=self.id, predicate=_range_of(number - DELETE_BACK))
        else:
            items = [PutItem(key=key, value=_value(self.id, number)) for key in _keys(number)]
            await kv.put_items(id=self.id, items=[*items, PutItem(key=HEAD, value=str(number).encode())])
        self.in_doubt.discard(number)
        self.acknowledged.add(number)

    async def watch(self, kv: KeyValue) -> None:
        """Read the head; it never goes back."""
        reply = await kv.get_items(id=self.id, predicate=Predicate(match_keys=MatchKeys(keys=[HEAD])))
        self._see_head(reply.items)

    async def verify(self, kv: KeyValue) -> None:
        """Raise `Broken` unless the record holds what was promised and nothing by halves."""
        items = [item async for page in kv.get_items.pages(id=self.id) for item in page.items]
        self._see_head(items)
        found = {item.key: item.value for item in items}
        for number in range(self.sent + 1):
            if not deletes(number):
                self._verify_put(number, found)
        last = max((number for number in self.acknowledged if not deletes(number)), default=-1)
        if int(found.get(HEAD) or b"-1") < last:
            raise Broken(f"{self.id}: the head is {found.get(HEAD)!r} although {last} was acknowledged")

    def _verify_put(self, number: int, found: dict[bytes, bytes | None]) -> None:
        there = [found.get(key) == _value(self.id, number) for key in _keys(number)]
        if any(there) != all(there):
            raise Broken(f"{self.id}: call {number} is half there: {there}")
        deleted_by = number + DELETE_BACK
        if deletes(deleted_by) and deleted_by <= self.sent:
            if deleted_by in self.acknowledged and any(there):
                raise Broken(f"{self.id}: call {number} is there although its delete was acknowledged")
        elif number in self.acknowledged and not all(there):
            raise Broken(f"{self.id}: call {number} was acknowledged and is gone")
        if number not in self.acknowledged and any(there) and int(found.get(HEAD) or b"-1") < number:
            raise Broken(f"{self.id}: call {number} is there without its head")

    def _see_head(self, items: Sequence[Item]) -> None:
        head = next((int(item.value or b"-1") for item in items if item.key == HEAD), -1)
        if head < self.head_shown:
            raise Broken(f"{self.id}: the head went back from {self.head_shown} to {head}")
        self.head_shown = head


class Workload:
    """Some writers and a reader against one server after another."""

    def __init__(self, writers: int) -> None:
        self.writers: list[Writer] = [Writer(number) for number in range(writers)]

    @property
    def acknowledged(self) -> int:
        """How many calls were, over all servers."""
        return sum(len(writer.acknowledged) for writer in self.writers)

    async def prepare(self, url: str) -> None:
        """The namespace is there."""
        async with connect(url) as connection:
            spec = NamespaceSpec(name=NAMESPACE, abstraction="kv")
            await connection.client(Namespaces).put(namespace=spec)

    async def run(self, url: str, until: int) -> None:
        """Write and read until `until` calls are acknowledged in all; then all clients are still at it.

        The caller kills the server when this returns, in the middle of their calls, and then awaits `settle`.
        """
        self._connection: Connection = connect(url, settings=ONE_TRY)
        kv = self._connection.client(KeyValue, NAMESPACE)
        self._tasks = [asyncio.create_task(self._keep_writing(writer, kv)) for writer in self.writers]
        self._tasks.append(asyncio.create_task(self._keep_watching(kv)))
        while self.acknowledged < until:
            await asyncio.sleep(0.002)
            if all(task.done() for task in self._tasks):
                break

    async def settle(self) -> None:
        """Every client has met the end of its server."""
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def verify(self, url: str) -> None:
        """Raise `Broken` unless the server at `url` keeps every promise made before it was started."""
        async with connect(url) as connection:
            kv = connection.client(KeyValue, NAMESPACE)
            for writer in self.writers:
                await writer.verify(kv)

    async def _keep_writing(self, writer: Writer, kv: KeyValue) -> None:
        while True:
            try:
                await writer.write(kv)
            except SoundstageError:
                return

    async def _keep_watching(self, kv: KeyValue) -> None:
        while True:
            for writer in self.writers:
                try:
                    await writer.watch(kv)
                except SoundstageError:
                    return


def deletes(number: int) -> bool:
    """Whether call `number` deletes instead of puts."""
    return number % DELETE_EVERY == DELETE_EVERY - 1


def _keys(number: int) -> tuple[bytes, bytes]:
    return b"call/%08d/a" % number, b"call/%08d/b" % number


def _range_of(number: int) -> Predicate:
    return Predicate(match_range=MatchRange(start=b"call/%08d/" % number, end=b"call/%08d0" % number))


def _value(record: str, number: int) -> bytes:
    return f"{record} {number} ".encode() * 8
