"""The log first, on every pair of engines; and what it is there to find."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engines.log.opened import SMALL

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import LogPage
from soundstage.engines.log.rocksdb import RocksLog, open_rocksdb_log
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.rocksdb import RocksOptions, open_rocksdb
from soundstage.testing.log.outbox import Broken, Outbox, play

OPTIONS = RocksOptions(cache=SMALL, low_water=SMALL)

Open = Callable[[Outbox], Awaitable[None]]


def pairs(environment: VirtualEnvironment, folder: Path) -> dict[str, Open]:
    memory_log, memory_records = MemoryLog(environment), MemoryRecords(environment)

    async def beside(outbox: Outbox) -> None:
        records = open_rocksdb(str(folder / "both"), OPTIONS, environment)
        outbox.records, outbox.log = records, RocksLog(records.database, environment)

    async def apart(outbox: Outbox) -> None:
        outbox.records = open_rocksdb(str(folder / "records"), OPTIONS, environment)
        outbox.log = open_rocksdb_log(str(folder / "log"), OPTIONS, environment)

    async def memory(outbox: Outbox) -> None:
        outbox.records, outbox.log = memory_records, memory_log

    async def mixed(outbox: Outbox) -> None:
        outbox.records, outbox.log = open_rocksdb(str(folder / "mixed"), OPTIONS, environment), memory_log

    return {"memory": memory, "beside": beside, "apart": apart, "mixed": mixed}


@pytest.mark.parametrize("pair", ["memory", "beside", "apart", "mixed"])
async def test_every_pair_of_engines_loses_nothing_and_applies_nothing_twice(pair: str, tmp_path: Path) -> None:
    environment = VirtualEnvironment(seed=1)
    outbox = Outbox(environment, seed=2)
    open_pair = pairs(environment, tmp_path)[pair]

    async def start() -> None:
        await open_pair(outbox)
        await outbox.records.start()
        await outbox.log.start()

    async def stop() -> None:
        await outbox.log.stop()
        await outbox.records.stop()

    async def reopen() -> None:
        await stop()
        await start()

    await start()
    await play(outbox, 8, reopen)
    assert (len(outbox.intents), outbox.applied > 56) == (56, True)
    await stop()


class Eager(MemoryLog):
    """Moves positions when entries are read, before anybody applied them."""

    async def read(
        self, topic: str, partition: int, offset: int, limit_entries: int = 1_000, limit_bytes: int = 1 << 20
    ) -> LogPage:
        page = await super().read(topic, partition, offset, limit_entries, limit_bytes)
        self._topics[topic].positions.setdefault("outbox/appliers", {})[partition] = page.next
        return page


class Forgetful(MemoryRecords):
    """Forgets which conditional writes it has accepted."""

    async def apply(self, table: str, partition: bytes, *given: Any, **named: Any) -> int:
        found = self._table(table).partitions.get(partition)
        if found is not None:
            found.ledger.clear()
        return await super().apply(table, partition, *given, **named)


async def played(log: MemoryLog, records: MemoryRecords, environment: VirtualEnvironment) -> None:
    outbox = Outbox(environment, seed=3)
    outbox.log, outbox.records = log, records
    await log.start()
    await records.start()

    async def reopen() -> None:
        await log.stop()
        await log.start()

    await play(outbox, 8, reopen)


async def test_a_position_before_its_effect_loses_intents() -> None:
    environment = VirtualEnvironment(seed=1)
    with pytest.raises(AssertionError, match="has its effect"):
        await played(Eager(environment), MemoryRecords(environment), environment)


async def test_an_effect_without_a_token_is_there_twice() -> None:
    environment = VirtualEnvironment(seed=1)
    with pytest.raises(AssertionError, match="effects of"):
        await played(MemoryLog(environment), Forgetful(environment), environment)


async def test_who_breaks_off_leaves_work_to_do() -> None:
    environment = VirtualEnvironment(seed=1)
    outbox = Outbox(environment)
    outbox.log, outbox.records = MemoryLog(environment), MemoryRecords(environment)
    await outbox.log.start()
    await outbox.records.start()
    await outbox.prepare()
    await outbox.intend(5)
    with pytest.raises(Broken):
        await outbox.apply(break_off=1.0)
    with pytest.raises(AssertionError):
        await outbox.check()
    await outbox.apply(break_off=0.0)
    await outbox.check()
