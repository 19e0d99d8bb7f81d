"""A copy of orders that follows every write: it is left and comes back, and empties when they do."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import aclosing

from soundstage import IdempotencyToken, Instant, Stage
from soundstage.data.kv import ItemChange, KeyValue, MatchAll, Predicate, PutItem
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

KEY = b"state"
Version = tuple[int, str]
NEVER: Version = (0, "")


def version_of(token: IdempotencyToken) -> Version:
    """What tells which of two writes is the later one."""
    return token.generation_time, token.token


class Copy:
    """The state of each order; `cursor` is where it goes on, to be kept with it."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.cursor: str = "0"
        self._versions: dict[str, Version] = {}
        self._emptied = NEVER

    def __str__(self) -> str:
        return ", ".join(f"{order} {state}" for order, state in sorted(self.states.items()))

    async def follow(self, orders: KeyValue, *writes: IdempotencyToken) -> None:
        """The copy goes on from its cursor until it has those writes, which may come in any order."""
        awaited = set(writes)
        async with aclosing(orders.watch_items(cursor=self.cursor)) as changes:
            async for change in changes:
                self.apply(change)
                awaited.discard(change.idempotency_token)
                if not awaited:
                    return

    def apply(self, change: ItemChange) -> None:
        """The copy has the change. Safe to repeat: what is not later than what is there changes nothing."""
        self.cursor, version = change.cursor, version_of(change.idempotency_token)
        if change.truncated:
            self._empty(version)
        elif version > max(self._emptied, self._versions.get(change.id, NEVER)):
            self._versions[change.id] = version
            self.states.pop(change.id, None)
            for item in change.items or []:
                self.states[change.id] = (item.value or b"").decode()

    def _empty(self, version: Version) -> None:
        self._emptied = max(self._emptied, version)
        for order in [order for order, kept in self._versions.items() if kept <= version]:
            del self._versions[order]
            self.states.pop(order, None)


class Shop:
    """Writes orders. Each method returns the version of its write."""

    def __init__(self, orders: KeyValue) -> None:
        self._orders = orders

    async def say(self, order: str, state: str, token: IdempotencyToken | None = None) -> IdempotencyToken:
        item = PutItem(key=KEY, value=state.encode())
        return (await self._orders.put_items(id=order, items=[item], idempotency_token=token)).idempotency_token

    async def forget(self, order: str) -> IdempotencyToken:
        everything = Predicate(match_all=MatchAll())
        return (await self._orders.delete_items(id=order, predicate=everything)).idempotency_token

    async def forget_all(self) -> IdempotencyToken:
        return (await self._orders.truncate(confirm="orders")).idempotency_token


async def show(orders: KeyValue) -> None:
    shop, copy = Shop(orders), Copy()
    first = [await shop.say("o-1", "paid"), await shop.say("o-2", "paid"), await shop.say("o-1", "sent")]
    await copy.follow(orders, *first)
    print("the copy has", copy)

    second = [await shop.say("o-3", "paid"), await shop.forget("o-2")]
    print("while nobody followed it stayed at", copy)
    await copy.follow(orders, *second)
    print("from its cursor on it comes to", copy)

    copy.cursor = "0"
    await copy.follow(orders, *first, *second)
    print("told everything once more it has", copy)

    emptied = await shop.forget_all()
    await copy.follow(orders, await shop.say("o-4", "paid"))
    print("truncated, and written to after that:", copy)

    before = IdempotencyToken(Instant(emptied.generation_time - 1_000_000), "late")
    late = await shop.say("o-1", "returned", before)
    await copy.follow(orders, late, await shop.say("o-4", "sent"))
    print("a write of before that arrives late stays gone:", copy)


async def main(folder: str) -> None:
    async with Stage.open(data=folder) as stage:
        namespace = NamespaceSpec(name="orders", abstraction="kv", config={"watch": True})
        await stage.client(Namespaces).put(namespace=namespace)
        await show(stage.client(KeyValue, "orders"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder))
