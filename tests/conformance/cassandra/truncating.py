"""A stage that fills a namespace, truncates it, writes on and erases what is gone, and may be killed at any step of it.

A step is a write of an engine's, or an append to its log, from the truncation on; their names are told in order.
"""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
from tests.conformance.cassandra.lives import Telling, watch
from tests.conformance.clocks import OffClock

from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import Condition, KeyValue, PutItem
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.log.rocksdb.engine import RocksLog
from soundstage.engines.records.cassandra import CassandraRecords
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.runtime.namespaces import Namespaces
from soundstage.runtime.stage import Stage

NAMESPACE = "people"
OLD, NEW = b"old", b"new"
RECORDS = ("ada", "bob")
LATER_S = 3_600.0
"""After so long nothing of before a truncation can come any more."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stage is, what its namespace is like, and when it is truncated; `last`: the step that is its last."""

    url: str
    folder: str
    knobs: dict[str, Any]
    at_us: int
    last: int | None = None

    @property
    def token(self) -> IdempotencyToken:
        """That of the truncation."""
        return IdempotencyToken(Instant.from_us(self.at_us), "truncated")

    def later(self) -> IdempotencyToken:
        """That of the write after it."""
        return IdempotencyToken(Instant.from_us(self.at_us + 1), "later")


def open_stage(life: Life, environment: OffClock) -> Stage:
    """What it does between calls is done where it is asked for."""
    config: dict[str, Any] = {
        "engines": {"default": {"url": life.url}},
        "control": {"poll_interval": "10ms"},
        "telemetry": {"log_level": "error"},
    }
    return Stage.open(
        config=config, data=str(Path(life.folder)), variables={}, environment=environment, background=False
    )


async def write_old(kv: KeyValue, life: Life, name: str) -> None:
    """A record is there, or hidden, of before the truncation."""
    token = IdempotencyToken(Instant.from_us(life.at_us - 1), f"old-{name}")
    await kv.put_items(id=name, items=[PutItem(key=b"k", value=OLD)], idempotency_token=token)


async def write_later(kv: KeyValue, life: Life) -> None:
    """One record is there again; where the namespace takes conditions, because it is gone."""
    condition = Condition(key=b"k", absent=True) if life.knobs.get("conditional_writes") else None
    items = [PutItem(key=b"k", value=NEW)]
    await kv.put_items(id="bob", items=items, condition=condition, idempotency_token=life.later())


async def erase(stage: Stage) -> bool:
    """What is gone is erased; whether nothing of it can come any more."""
    service = await stage.systems.started("kv")
    assert isinstance(service, KeyValueService)
    erasure = await service.erase_truncated(NAMESPACE, lambda: None)
    return erasure is None or erasure.last


async def live(life: Life, telling: Telling) -> None:
    """All of it, once; steps count from the truncation on."""
    environment = OffClock()
    async with open_stage(life, environment) as stage:
        spec = NamespaceSpec(name=NAMESPACE, abstraction="kv", config=life.knobs)
        await stage.client(Namespaces).put(namespace=spec)
        kv = stage.client(KeyValue, NAMESPACE)
        for name in RECORDS:
            await write_old(kv, life, name)
        telling.begin()
        await kv.truncate(confirm=NAMESPACE, idempotency_token=life.token)
        telling.tell("truncated")
        await write_later(kv, life)
        telling.tell("written")
        await erase(stage)
        # What comes late is hidden, and for the last pass.
        await write_old(kv, life, "eve")
        telling.tell("aged")
        environment.off_s = LATER_S
        telling.tell("erased" if await erase(stage) else "unerased")


def run(life: Life, ends: Connection) -> None:
    """It lives in this process, and tells its steps."""
    telling = Telling(ends, life.last)
    for engine, call in ((RocksRecords, "apply"), (CassandraRecords, "apply"), (RocksLog, "append")):
        watch(telling.at, engine, call)
    watch(telling.at, RocksLog, "write_together", lambda writes: str(writes[0].table))
    asyncio.run(live(life, telling))
