"""What the replicas of a real Cassandra noted down when they were asked to decide together."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.records.cassandra import Link
from soundstage.engines.records.port import ALL, Batch, Budget, Condition, Conditional, Records, TableSpec
from soundstage.testing.records import OpenEngine

FAR_US = 1 << 60
APART_S = 2.0
"""Later by so much than all that was, a ballot is greater, by the clock of whichever node."""

RECORD, KEY = b"the record that is read", b"key"


async def ballots(link: Link) -> set[Any]:
    """Those that any node has promised for the record, to who reads or writes it.

    A replica that notes late what others have promised already adds none.
    """
    session: Any = link.session

    def asked() -> set[Any]:
        query = "SELECT row_key, in_progress_ballot, in_progress_read_ballot FROM system.paxos"
        hosts = session.cluster.metadata.all_hosts()
        rows = [tuple(row) for host in hosts for row in session.execute(query, host=host)]
        return {ballot for key, *promised in rows for ballot in promised if RECORD in key}

    return await asyncio.to_thread(asked)


async def reads_that_were_decided(link: Link, open_engine: OpenEngine, *, serial: bool) -> list[str]:
    """The calls of a table whose writes are conditional for which the replicas decided what there is."""
    engine = await open_engine(SystemEnvironment(), f"decided-{serial}")
    try:
        await engine.create_table(TableSpec(name="items", conditional=True, serial=True if serial else msgspec.UNSET))
        now_us = SystemEnvironment().now_us()
        cells = [(KEY, version.put(now_us, "token", b"value"))]
        asked = Conditional(conditions=[Condition(KEY, None)], token="token", digest=b"digest", limit_us=FAR_US)
        await engine.apply("items", RECORD, Batch(cells=cells), conditional=asked)
        found: list[str] = []
        for name in ("get", "read"):
            if await _is_noted(link, engine, name, now_us):
                found.append(name)
        return found
    finally:
        await engine.stop()


async def _is_noted(link: Link, engine: Records, name: str, now_us: int) -> bool:
    """Whether a call of that name is decided, and so promised under a ballot of its own.

    One by way of a node whose clock is behind that of an earlier one's is permitted under the earlier ballot.
    """
    before, ends_s = await ballots(link), time.monotonic() + APART_S
    while True:
        is_last = time.monotonic() >= ends_s
        assert await _value(engine, name, now_us) == b"value"
        if await ballots(link) - before:
            return True
        if is_last:
            return False


async def _value(engine: Records, name: str, now_us: int) -> bytes:
    if name == "get":
        page = await engine.get("items", RECORD, [KEY], now_us)
    else:
        page = await engine.read("items", RECORD, ALL, Budget(), now_us)
    return bytes(version.split(page.rows[0][1]).value)
