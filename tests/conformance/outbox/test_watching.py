"""Changes of a namespace on Cassandra, told by a log on Kafka: though one is cut off none is missed, or told twice."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.data.kv.conftest import item
from tests.data.kv.followers import Replica, contents

from soundstage.data.kv import KeyValue
from soundstage.data.kv.api import ItemChange
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RECORDS = ("ada", "bob", "eve")
WRITES = 40
"""Of each record."""

CUT = 7
"""Messages that one who follows takes before it is cut off."""


async def follow(kv: KeyValue, count: int) -> list[ItemChange]:
    """So many changes from the beginning, each time from the last cursor on."""
    found: list[ItemChange] = []
    cursor = "0"
    while len(found) < count:
        async with aclosing(kv.watch_items(cursor=cursor)) as changes:
            for _ in range(min(CUT, count - len(found))):
                change = await anext(changes)
                found.append(change)
                cursor = change.cursor
    return found


async def test_who_follows_from_cursor_to_cursor_is_told_every_write_once_and_in_order(
    cassandra: Cluster, kafka: Cluster, tmp_path: Path
) -> None:
    space = f"watch{time.time_ns()}"
    engines = {
        "default": {"url": f"{cassandra.url}/suite?space={space}"},
        "topics": {"url": f"{kafka.url}?space={space}&linger_ms=0"},
    }
    config = {"engines": engines, "systems": {"kv": {"changes_log": "topics"}}, "telemetry": {"log_level": "error"}}
    async with Stage.open(config=config, data=str(tmp_path), variables={}, background=False) as stage:
        spec = NamespaceSpec(name="people", abstraction="kv", config={"watch": True})
        await stage.client(Namespaces).put(namespace=spec)
        kv, written = stage.client(KeyValue, "people"), {name: list[str]() for name in RECORDS}

        async def write(name: str) -> None:
            for number in range(WRITES):
                made = await kv.put_items(id=name, items=[item(b"%d" % (number % 5), b"%d" % number)])
                written[name].append(made.idempotency_token.token)

        following = asyncio.ensure_future(follow(kv, WRITES * len(RECORDS)))
        await asyncio.gather(*map(write, RECORDS))
        told = await following
        shown = await contents(kv)
    assert {name: [each.idempotency_token.token for each in told if each.id == name] for name in RECORDS} == written
    assert Replica().hear(told).shown() == shown
