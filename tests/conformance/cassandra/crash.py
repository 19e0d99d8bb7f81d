"""A process whose stage is on Cassandra is killed amid its writes, and another one looks at what there is."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TypeAlias

from tests.conformance.cassandra.writers import KEYS, NAMESPACES, RECORDS

from soundstage.data.kv import KeyValue
from soundstage.runtime.stage import Stage

ACKNOWLEDGED = 20
"""Calls of each record, before it is killed."""

PATIENCE_S = 120.0
WRITERS = RECORDS * len(NAMESPACES)

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


async def found(url: str, folder: Path, places: list[Place]) -> dict[Place, list[int]]:
    """What the items of each record have as their values, as another process sees them."""
    config: dict[str, Any] = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    numbers: dict[Place, list[int]] = {}
    async with Stage.open(config=config, data=str(folder), variables={}) as stage:
        for namespace, record in places:
            reply = await stage.client(KeyValue, namespace).get_items(id=record)
            numbers[namespace, record] = [int(item.value or b"0") for item in reply.items]
    return numbers


async def wrong(url: str, folder: Path) -> list[str]:
    """What another process misses after one was killed, or finds by half; empty when all is well."""
    last = killed(url, folder / "one")
    if len(last) < WRITERS:
        return [f"it wrote {len(last)} records of {WRITERS}"]
    told: list[str] = []
    for place, numbers in (await found(url, folder / "two", list(last))).items():
        if len(numbers) != len(KEYS) or len(set(numbers)) != 1:
            told.append(f"{place} has a call by half: {numbers}")
        elif numbers[0] - last[place] not in (0, 1):
            # The call that was under way when it died counts, or does not.
            told.append(f"{place} has {numbers[0]} after {last[place]} was acknowledged")
    return told
