from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import Duration
from soundstage.data.kv.api import Item, KeyValue, MatchAll, MatchKeys, MatchRange, Predicate, PutItem
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

CONFIG = {"engines": {"other": {"url": "memory:"}}, "jobs": {"poll_interval": "10ms"}}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage in memory with two engines that carries jobs out, and in it the namespace `films`."""
    async with Stage.open(data="memory:", config=CONFIG) as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="films", abstraction="kv"))
        yield stage


@pytest.fixture
def namespaces(stage: Stage) -> Namespaces:
    return stage.client(Namespaces)


def token(stage: Stage, ago_s: float = 0.0, text: str = "t") -> IdempotencyToken:
    """A token that was generated so long ago."""
    return IdempotencyToken(Instant.from_us(stage.environment.now_us() - int(ago_s * 1e6)), text)


def item(key: bytes, value: bytes = b"v", ttl: str | None = None) -> PutItem:
    return PutItem(key=key, value=value, ttl=None if ttl is None else Duration.parse(ttl))


async def fill(stage: Stage, namespace: str = "films", records: int = 20) -> None:
    """Records with live, expiring and deleted items."""
    kv = stage.client(KeyValue, namespace)
    for number in range(records):
        name = f"film-{number}"
        puts = [item(b"k%d" % key, b"%d" % number, "1d" if key == 2 else None) for key in range(5)]
        await kv.put_items(id=name, items=puts)
        await kv.delete_items(id=name, predicate=Predicate(match_keys=MatchKeys(keys=[b"k1"])))
        await kv.delete_items(id=name, predicate=Predicate(match_range=MatchRange(start=b"k3", end=b"k4")))
    await kv.delete_items(id="film-0", predicate=Predicate(match_all=MatchAll()))


async def contents(stage: Stage, namespace: str) -> dict[str, list[Item]]:
    """Everything that a namespace answers with, tokens and expiries included."""
    found: dict[str, list[Item]] = {}
    async for page in stage.client(KeyValue, namespace).scan_items.pages():
        for record in page.records:
            found.setdefault(record.id, []).extend(record.items)
    return found


async def inline(do: Callable[..., Any], *given: Any) -> Any:
    """What `do` returns, computed here."""
    return do(*given)


async def exported(stage: Stage, name: str = "films") -> Any:
    return await (await stage.client(Namespaces).export(name=name)).result()
