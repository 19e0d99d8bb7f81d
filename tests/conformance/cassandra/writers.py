"""A process with a stage on Cassandra that writes until it is killed, and prints what was acknowledged.

    python -m tests.conformance.cassandra.writers URL FOLDER

A line is `NAMESPACE RECORD NUMBER`. Each call puts the items 0 to 4 of a record, all with the value NUMBER; in the
namespace `chunked` that is so long that it lies in chunks, which come before the row that names them.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, PutItem
from soundstage.runtime.namespaces import Namespaces
from soundstage.runtime.stage import Stage

KEYS = [b"%d" % number for number in range(5)]
NAMESPACES: dict[str, dict[str, Any]] = {
    "plain": {},
    "guarded": {"conditional_writes": True},
    "chunked": {"chunk_threshold": "1KiB", "chunk_bytes": "16KiB"},
}
WIDTH = {"chunked": 40_000}
RECORDS = 4


async def write(kv: KeyValue, namespace: str, record: str) -> None:
    number = 0
    while True:
        number += 1
        value = b"%*d" % (WIDTH.get(namespace, 1), number)
        await kv.put_items(id=record, items=[PutItem(key=key, value=value) for key in KEYS])
        sys.stdout.write(f"{namespace} {record} {number}\n")
        sys.stdout.flush()


async def main(url: str, folder: str) -> None:
    config: dict[str, Any] = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    async with Stage.open(config=config, data=folder, variables={}) as stage, asyncio.TaskGroup() as tasks:
        for name, knobs in NAMESPACES.items():
            spec = NamespaceSpec(name=name, abstraction="kv", config=knobs)
            await stage.client(Namespaces).put(namespace=spec)
        for name in NAMESPACES:
            for record in range(RECORDS):
                tasks.create_task(write(stage.client(KeyValue, name), name, f"record-{record}"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
