"""A process with a stage on Cassandra that writes until it is killed, and prints what was acknowledged.

    python -m tests.conformance.cassandra.writers URL FOLDER

A line is `NAMESPACE RECORD NUMBER`. Each call puts the items 0 to 4 of a record, all with the value NUMBER; in the
namespace `chunked` that is so long that it lies in chunks, which come before the row that names them. In the namespace
`events` a record is a series, and a call writes the events of its NUMBER, which lie in several partitions and slices.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import NS_PER_S, Instant
from soundstage.data.kv import KeyValue, PutItem
from soundstage.data.timeseries import Event, EventItem, TimeSeries
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

EVENTS = "events"
EVENTS_KNOBS: dict[str, Any] = {
    "time_partition": {"seconds_per_slice": "1d", "seconds_per_bucket": "1h", "event_buckets": 3}
}
BEGIN_NS = 1_700_000_000 * NS_PER_S
EACH = 6
"""Events of a call."""


def events_of(series: str, number: int) -> list[Event]:
    """What the call of that number writes to a series: every hour some, on both sides of midnight."""
    return [
        Event(
            time_series_id=series,
            event_time=Instant(BEGIN_NS + at * 3_600 * NS_PER_S + number),
            event_id=f"{number}/{at}",
            event_items=[EventItem(event_item_key=key, event_item_value=b"%d" % number) for key in ("a", "b")],
        )
        for at in range(EACH)
    ]


async def write(kv: KeyValue, namespace: str, record: str) -> None:
    number = 0
    while True:
        number += 1
        value = b"%*d" % (WIDTH.get(namespace, 1), number)
        await kv.put_items(id=record, items=[PutItem(key=key, value=value) for key in KEYS])
        sys.stdout.write(f"{namespace} {record} {number}\n")
        sys.stdout.flush()


async def write_events(series: TimeSeries, record: str) -> None:
    number = 0
    while True:
        number += 1
        await series.write_event_records_sync(events=events_of(record, number))
        sys.stdout.write(f"{EVENTS} {record} {number}\n")
        sys.stdout.flush()


async def main(url: str, folder: str) -> None:
    config: dict[str, Any] = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    async with Stage.open(config=config, data=folder, variables={}) as stage, asyncio.TaskGroup() as tasks:
        for name, knobs in NAMESPACES.items():
            spec = NamespaceSpec(name=name, abstraction="kv", config=knobs)
            await stage.client(Namespaces).put(namespace=spec)
        spec = NamespaceSpec(name=EVENTS, abstraction="timeseries", config=EVENTS_KNOBS)
        await stage.client(Namespaces).put(namespace=spec)
        for name in NAMESPACES:
            for record in range(RECORDS):
                tasks.create_task(write(stage.client(KeyValue, name), name, f"record-{record}"))
        for record in range(RECORDS):
            tasks.create_task(write_events(stage.client(TimeSeries, EVENTS), f"record-{record}"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
