"""A process whose stage is on a real Cassandra is killed amid its writes: what another one finds."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cassandra.writers import KEYS, NAMESPACES, RECORDS

from soundstage.data.kv import KeyValue
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

pytestmark = pytest.mark.slow

ACKNOWLEDGED = 20
"""Calls of each record, before it is killed."""

PATIENCE_S = 120.0
WRITERS = RECORDS * len(NAMESPACES)


def killed(url: str, folder: Path) -> dict[tuple[str, str], int]:
    """A process wrote and was killed; the last number that it was acknowledged, by namespace and record."""
    last: dict[tuple[str, str], int] = {}
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


async def test_what_was_acknowledged_is_there_and_no_call_by_half(cassandra: Cluster, tmp_path: Path) -> None:
    url = f"{cassandra.url}/suite?space=crash-{time.time_ns()}"
    last = killed(url, tmp_path / "one")
    config: dict[str, Any] = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    found: dict[tuple[str, str], list[int]] = {}
    async with Stage.open(config=config, data=str(tmp_path / "two"), variables={}) as stage:
        for namespace, record in last:
            reply = await stage.client(KeyValue, namespace).get_items(id=record)
            found[namespace, record] = [int(item.value or b"0") for item in reply.items]
    assert len(last) == WRITERS
    assert {place: len(numbers) for place, numbers in found.items()} == dict.fromkeys(last, len(KEYS))
    assert {place for place, numbers in found.items() if len(set(numbers)) != 1} == set()
    # The call that was under way when it died counts, or does not.
    assert {place for place, numbers in found.items() if numbers[0] - last[place] not in (0, 1)} == set()
