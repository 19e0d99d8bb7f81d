"""A watch list: the newest viewings of each profile, in a stage of this process."""

from __future__ import annotations

import asyncio
import tempfile
from typing import NamedTuple

from soundstage import Duration, IdempotencyToken, Instant, Stage
from soundstage.data.kv import KeyValue, MatchRange, Predicate, PutItem, Selection
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

TIME_BYTES = 8


class Viewing(NamedTuple):
    """A title, and when it was watched."""

    at: Instant
    title: str

    @property
    def key(self) -> bytes:
        return self.at.to_bytes(TIME_BYTES, "big") + self.title.encode()

    @classmethod
    def of(cls, key: bytes) -> Viewing:
        return cls(Instant(int.from_bytes(key[:TIME_BYTES], "big")), key[TIME_BYTES:].decode())


class WatchList:
    """Keeps the newest `keep` viewings of each profile, a record each."""

    def __init__(self, store: KeyValue, keep: int) -> None:
        self._store = store
        self._keep = keep

    async def add(self, profile: str, viewing: Viewing, now: Instant) -> None:
        """The viewing is in the list, unless newer ones fill it. Safe to repeat with the same `now`."""
        token = IdempotencyToken(now, f"{viewing.at.us}/{viewing.title}")
        item = PutItem(key=viewing.key, value=b"")
        await self._store.put_items(id=profile, items=[item], idempotency_token=token)
        await self._forget_old(profile)

    async def newest(self, profile: str, count: int) -> list[Viewing]:
        """The newest viewings, the newest first."""
        return [Viewing.of(key) for key in await self._newest_keys(profile, count)]

    async def _forget_old(self, profile: str) -> None:
        kept = await self._newest_keys(profile, self._keep)
        if len(kept) == self._keep:
            older = Predicate(match_range=MatchRange(end=kept[-1]))
            await self._store.delete_items(id=profile, predicate=older)

    async def _newest_keys(self, profile: str, count: int) -> list[bytes]:
        selection = Selection(reverse=True, item_limit=count, include_values=False)
        pages = self._store.get_items.pages(id=profile, selection=selection)
        return [item.key async for page in pages for item in page.items]


async def main(folder: str) -> None:
    async with Stage.open(data=folder) as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="viewings", abstraction="kv"))
        watched = WatchList(stage.client(KeyValue, "viewings"), keep=100)
        await show(watched, Instant.from_us(stage.environment.now_us()))


async def show(watched: WatchList, now: Instant) -> None:
    start, step = Instant.parse("2026-10-31T04:00:00Z"), Duration.parse("2h")
    viewings = [Viewing(Instant(start + number * step), f"title-{number}") for number in range(1, 251)]
    for viewing in viewings:
        await watched.add("ada", viewing, now)

    kept = await watched.newest("ada", 1_000)
    print(f"ada has watched {len(viewings)} titles; {len(kept)} are kept")
    for viewing in kept[:3]:
        print(f"  {viewing.at}  {viewing.title}")
    print(f"the oldest is of {kept[-1].at}")

    await watched.add("ada", viewings[-1], now)
    print(f"added twice, kept once: {len(await watched.newest('ada', 1_000))}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder))
