"""A process whose stage is on Cassandra is killed amid its writes, and another one looks at what there is."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TypeAlias

from tests.conformance.cassandra.writers import EVENTS, KEYS, NAMESPACES, RECORDS, events_of

from soundstage.core.time import INT64_MAX, INT64_MIN, Instant
from soundstage.data.kv import KeyValue
from soundstage.data.timeseries import Event, TimeInterval, TimeSeries
from soundstage.runtime.stage import Stage

ACKNOWLEDGED = 20
"""Calls of each record, before it is killed."""

PATIENCE_S = 120.0
WRITERS = RECORDS * (len(NAMESPACES) + 1)
ALWAYS = TimeInterval(start=Instant(INT64_MIN), end=Instant(INT64_MAX))

Place: TypeAlias = tuple[str, str]
"""A namespace, and a record of it."""


def killed(url: str, folder: Path) -> dict[Place, int]:
    """A process wrote and was killed; the last number that it was acknowledged, by namespace and record."""
    last: dict[Place, int] = {}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.cassandra.writers", url, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        watch = threading.Timer(PATIENCE_S, process.kill)
        watch.start()
        try:
            for line in process.stdout:
                if line.endswith("\n"):
                    namespace, record, number = line.split()
                    last[namespace, record] = int(number)
                if len(last) == WRITERS and min(last.values()) >= ACKNOWLEDGED:
                    process.kill()
        finally:
            watch.cancel()
            process.kill()
    return last


async def wrong_items(kv: KeyValue, record: str, last: int) -> str | None:
    """What is wrong with the items of a record, of which the call `last` was the last to be acknowledged."""
    reply = await kv.get_items(id=record)
    numbers = [int(item.value or b"0") for item in reply.items]
    if len(numbers) != len(KEYS) or len(set(numbers)) != 1:
        return f"a call by half: {numbers}"
    # The call that was under way when it died counts, or does not.
    return None if numbers[0] - last in (0, 1) else f"{numbers[0]} after {last} was acknowledged"


async def wrong_events(series: TimeSeries, record: str, last: int) -> str | None:
    """The same of the events of a series; the call that was under way is sent again, and then there whole."""
    promised = [each for number in range(1, last + 1) for each in events_of(record, number)]
    doubted = events_of(record, last + 1)
    before = await everything(series, record)
    await series.write_event_records_sync(events=doubted)
    after = await everything(series, record)
    if [each for each in before if each not in doubted] != ordered(promised):
        return f"{len(before)} events, and {len(promised)} were acknowledged"
    return None if after == ordered([*promised, *doubted]) else "not what was sent again, once"


async def everything(series: TimeSeries, record: str) -> list[Event]:
    """All events of a series."""
    pages = series.read_event_records.pages(time_series_id=record, time_interval=ALWAYS)
    return [event async for page in pages for event in page.records]


def ordered(events: list[Event]) -> list[Event]:
    """As they are read."""
    return sorted(events, key=lambda each: (-each.event_time, each.event_id))


async def wrong(url: str, folder: Path) -> list[str]:
    """What another process misses after one was killed, or finds by half; empty when all is well."""
    last, told = killed(url, folder / "one"), list[str]()
    if len(last) < WRITERS:
        return [f"it wrote {len(last)} records of {WRITERS}"]
    config: dict[str, Any] = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    async with Stage.open(config=config, data=str(folder / "two"), variables={}) as stage:
        for (namespace, record), number in last.items():
            if namespace == EVENTS:
                problem = await wrong_events(stage.client(TimeSeries, namespace), record, number)
            else:
                problem = await wrong_items(stage.client(KeyValue, namespace), record, number)
            if problem is not None:
                told.append(f"{namespace} {record} has {problem}")
    return told
