"""A stage with its rows on Cassandra that replaces a value and reads it, and may be killed at any step of that.

The value is kept in a cache, which the write voids and the read fills; or it lies in chunks, which come before the row
that names them.
"""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from typing import Any

import msgspec
from tests.conformance.cassandra.lives import Telling, watch

from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, MatchKeys, Predicate, PutItem, Selection
from soundstage.data.kv.cache_tier import CacheTier
from soundstage.engines.records.cassandra import CassandraRecords
from soundstage.runtime.namespaces import Namespaces
from soundstage.runtime.stage import Stage

KEY = b"name"
CACHED, CHUNKED = "cached", "chunked"
NAMESPACES: dict[str, dict[str, Any]] = {
    CACHED: {"consistency": "read_your_writes", "cache": {"engine": "hot", "ttl": "1h", "within": "1s"}},
    CHUNKED: {"chunk_threshold": "1KiB", "chunk_bytes": "256KiB"},
}
OLD, NEW, NEWER = ({CACHED: name.encode(), CHUNKED: name.encode() * 250_000} for name in ("old", "new", "newer"))
"""What is in chunks has several of them, each of which is a call."""

ROWS = {name: f"apply kv/{name}" for name in NAMESPACES}
STEPS: dict[str, tuple[str, ...]] = {
    CACHED: (
        "put_head cache 1",
        f"{ROWS[CACHED]} 1",
        "put_head cache 2",
        "lease cache 1",
        f"read kv/{CACHED} 1",
        "put_answer cache 1",
    ),
    CHUNKED: (*(f"apply kv/{CHUNKED}/values {number}" for number in range(1, 6)), f"{ROWS[CHUNKED]} 1"),
}
"""What is kept counts for nothing, the value is stored, it may be kept again; whoever reads has the right to fill it
in, has asked the store, and has filled it in. Or chunks are announced, and there one by one, those of the old value
are to go, and the row names the new ones."""


STORED: dict[str, Any] = {"selection": Selection()}
BY_KEY: dict[str, Any] = {"predicate": Predicate(match_keys=MatchKeys(keys=[KEY]))}
WAYS: dict[str, tuple[dict[str, Any], ...]] = {CACHED: (STORED, {}, BY_KEY, {}, BY_KEY), CHUNKED: ({},)}
"""How values are read to see what is there: from the store, and by way of a cache, before it has them and after."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stage is, and what it replaces; `last`: the step that is its last."""

    url: str
    cache: str
    folder: str
    namespace: str
    id: str
    last: str | None = None


def open_stage(url: str, cache: str, folder: str) -> Stage:
    config: dict[str, Any] = {
        "engines": {"default": {"url": url}, "hot": {"url": cache}},
        "telemetry": {"log_level": "error"},
    }
    return Stage.open(config=config, data=folder, variables={}, background=False)


async def declare(stage: Stage) -> None:
    """The namespaces are there."""
    for name, knobs in NAMESPACES.items():
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv", config=knobs))


async def put(stage: Stage, namespace: str, id: str, values: dict[str, bytes]) -> None:
    items = [PutItem(key=KEY, value=values[namespace])]
    await stage.client(KeyValue, namespace).put_items(id=id, items=items)


async def shown(stage: Stage, namespace: str, id: str, **asked: Any) -> bytes | None:
    """What whoever asks so is shown."""
    items = (await stage.client(KeyValue, namespace).get_items(id=id, **asked)).items
    return items[0].value if items else None


async def live(life: Life, telling: Telling) -> None:
    """All of it, once; steps count from the second write on."""
    async with open_stage(life.url, life.cache, life.folder) as stage:
        place = stage, life.namespace, life.id
        await put(*place, OLD)
        assert await shown(*place) == OLD[life.namespace]
        telling.begin()
        await put(*place, NEW)
        telling.tell("written")
        assert await shown(*place) == NEW[life.namespace]
        telling.tell("read")


def run(life: Life, ends: Connection) -> None:
    """It lives in this process, and tells its steps."""
    telling = Telling(ends, life.last)
    watch(telling.at, CassandraRecords, "apply")
    if life.namespace == CACHED:
        watch(telling.at, CassandraRecords, "read")
        for call in ("put_head", "lease", "put_answer"):
            watch(telling.at, CacheTier, call, lambda _: "cache")
    asyncio.run(live(life, telling))
