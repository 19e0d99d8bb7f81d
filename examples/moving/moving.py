"""Moving house: 100,000 real ratings from one stage to another by a file, and what late writes come to there."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from soundstage import IdempotencyToken, Instant, Stage
from soundstage.data.kv import KeyValue, MatchKeys, Predicate, PutItem
from soundstage.datasets import fetch
from soundstage.datasets.movielens import Rating, ratings
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

FILM = b"50"
"""Star Wars, the film with the most ratings."""


async def load(store: KeyValue, found: Iterable[Rating]) -> None:
    """A record for each person, an item for each film that the person rated."""
    by_user: dict[int, list[PutItem]] = defaultdict(list)
    for rating in found:
        by_user[rating.user_id].append(PutItem(key=b"%d" % rating.film_id, value=b"%d" % rating.stars))
    for user, items in by_user.items():
        await store.put_items(id=str(user), items=items)


async def stars(store: KeyValue) -> tuple[int, int]:
    """How many ratings there are, and how many stars they have together."""
    count = total = 0
    async for page in store.scan_items.pages():
        for record in page.records:
            count += len(record.items)
            total += sum(int(item.value or b"0") for item in record.items)
    return count, total


async def has(store: KeyValue, user: str) -> bool:
    """Whether the person's rating of the film is there."""
    reply = await store.get_items(id=user, predicate=Predicate(match_keys=MatchKeys(keys=[FILM])))
    return bool(reply.items)


async def main() -> None:
    """Loads, deletes one rating, exports here, imports there, and sends a write that comes too late."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ratings.soundstage.zst")
        async with Stage.open(data=f"{folder}/old") as old:
            namespaces = old.client(Namespaces)
            await namespaces.put(namespace=NamespaceSpec(name="ratings", abstraction="kv"))
            store = old.client(KeyValue, "ratings")
            await load(store, ratings(fetch("movielens-100k")))
            late = IdempotencyToken(Instant(old.environment.now_ns()), "sent before the delete, arrives after the move")
            await store.delete_items(id="1", predicate=Predicate(match_keys=MatchKeys(keys=[FILM])))
            print("here: {} ratings with {} stars".format(*await stars(store)))
            exported = await (await namespaces.export(name="ratings")).result()
            await old.files.download(exported.file, path)
            print(f"{exported.records} records are in {path.name}")

        async with Stage.open(data=f"{folder}/new") as new:
            file = await new.files.upload(path)
            job = await new.client(Namespaces).import_(name="ratings", file=file)
            await job.result()
            store = new.client(KeyValue, "ratings")
            print("there: {} ratings with {} stars".format(*await stars(store)))
            await store.put_items(id="1", items=[PutItem(key=FILM, value=b"5")], idempotency_token=late)
            print(
                "the late write came back to life" if await has(store, "1") else "the late write lost, as it would have"
            )


if __name__ == "__main__":
    asyncio.run(main())
