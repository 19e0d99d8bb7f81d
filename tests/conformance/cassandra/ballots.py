"""What the replicas of a real Cassandra noted down when they were asked to decide together."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.records.cassandra import Link
from soundstage.engines.records.port import ALL, Batch, Budget, Condition, Conditional, Records, TableSpec
from soundstage.testing.records import OpenEngine

FAR_US = 1 << 60
RECORD, KEY = b"the record that is read", b"key"


async def ballots(link: Link) -> set[Any]:
    """Those that any node has promised for the record, to who reads or writes it."""
    session: Any = link.session

    def asked() -> set[Any]:
        query = "SELECT row_key, cf_id, in_progress_ballot, in_progress_read_ballot FROM system.paxos"
        hosts = session.cluster.metadata.all_hosts()
        rows = [tuple(row) for host in hosts for row in session.execute(query, host=host)]
        return {row for row in rows if RECORD in row[0]}

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
            before = await ballots(link)
            assert await _value(engine, name, now_us) == b"value"
            if await ballots(link) != before:
                found.append(name)
        return found
    finally:
        await engine.stop()


async def _value(engine: Records, name: str, now_us: int) -> bytes:
    if name == "get":
        page = await engine.get("items", RECORD, [KEY], now_us)
    else:
        page = await engine.read("items", RECORD, ALL, Budget(), now_us)
    return bytes(version.split(page.rows[0][1]).value)
