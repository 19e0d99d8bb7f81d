"""Who follows a namespace, and what it makes of what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from soundstage.core.message import IdempotencyToken
from soundstage.data.kv.api import Item, ItemChange, KeyValue, Predicate

Order = tuple[int, int, str]
"""Time, kind and token of a version: what decides between two of them."""


async def taken(changes: AsyncGenerator[ItemChange], count: int) -> list[ItemChange]:
    """So many messages, and the feed is closed."""
    async with aclosing(changes):
        return [await anext(changes) for _ in range(count)]


async def until(changes: AsyncGenerator[ItemChange], last: IdempotencyToken) -> list[ItemChange]:
    """All messages up to that write's, and the feed is closed."""
    found: list[ItemChange] = []
    async with aclosing(changes):
        async for change in changes:
            found.append(change)
            if change.idempotency_token == last:
                break
    return found


async def everything(kv: KeyValue, parts: int = 4, **request: Any) -> list[ItemChange]:
    """All that is kept: a feed is over, for a test, when it has said nothing for a while of turns."""
    found: list[ItemChange] = []
    async with aclosing(kv.watch_items(cursor="0", **request)) as changes:
        while True:
            coming = asyncio.ensure_future(anext(changes))
            for _ in range(60 * parts):
                await asyncio.sleep(0)
                if coming.done():
                    break
            if not coming.done():
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
                return found
            found.append(coming.result())


@dataclass
class Replica:
    """What a namespace holds by what was told of it, whatever came twice, by the rule of versions alone."""

    items: dict[str, dict[bytes, tuple[Order, Item]]] = field(default_factory=dict)
    deletes: list[tuple[str | None, Predicate | None, Order]] = field(default_factory=list)

    def hear(self, changes: Iterable[ItemChange]) -> Replica:
        for change in changes:
            token = change.idempotency_token
            for item in change.items or ():
                version = (token.generation_time.us, 0, token.token)
                before = self.items.setdefault(change.id, {}).get(item.key)
                if before is None or before[0] < version:
                    self.items[change.id][item.key] = (version, item)
            if change.deleted is not None or change.truncated:
                gone = (token.generation_time.us, 1, token.token)
                self.deletes.append((None if change.truncated else change.id, change.deleted, gone))
        return self

    def shown(self) -> dict[str, dict[bytes, bytes | None]]:
        found: dict[str, dict[bytes, bytes | None]] = {}
        for id, items in self.items.items():
            for key, (version, item) in items.items():
                if not any(version < gone and _covers(where, what, id, key) for where, what, gone in self.deletes):
                    found.setdefault(id, {})[key] = item.value
        return {id: dict(sorted(items.items())) for id, items in sorted(found.items())}


def _covers(where: str | None, what: Predicate | None, id: str, key: bytes) -> bool:
    if where is None:
        return True
    if where != id or what is None:
        return False
    if what.match_keys is not None:
        return key in what.match_keys.keys
    if what.match_range is not None:
        start, end = what.match_range.start or b"", what.match_range.end
        return start <= key and (end is None or key < end)
    return True


async def contents(kv: KeyValue) -> dict[str, dict[bytes, bytes | None]]:
    """What a namespace says that it holds."""
    found: dict[str, dict[bytes, bytes | None]] = {}
    async for page in kv.scan_items.pages():
        for record in page.records:
            found.setdefault(record.id, {}).update({item.key: item.value for item in record.items})
    return dict(sorted(found.items()))
