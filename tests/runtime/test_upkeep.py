from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.runtime.conftest import OpenStage

from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, Unavailable
from soundstage.core.time import Duration
from soundstage.engines.tables.filters import ALL
from soundstage.engines.tables.iceberg import IcebergTables, embedded_address
from soundstage.engines.tables.memory import MemoryTables
from soundstage.engines.tables.port import At, Column, Snapshot, TableSpec
from soundstage.runtime.config import TablesConfig
from soundstage.runtime.stage import Stage
from soundstage.runtime.upkeep import Upkeep, keep_all

HOUR_US = 3_600_000_000
SPEC = TableSpec(name="films", columns=(Column(name="id", type="int64"),))
CONFIG = TablesConfig(history_ttl=Duration(7 * 24 * HOUR_US * 1_000), history_keep=3)


class Cluttered(MemoryTables):
    """Tables that need upkeep, and what was asked for it; those of `broken` fail as they say."""

    def __init__(self, environment: VirtualEnvironment, broken: Mapping[str, Exception] | None = None) -> None:
        super().__init__(environment)
        self.asked: list[tuple[Any, ...]] = []
        self.cleaned = asyncio.Event()
        self._broken = broken or {}

    async def compact(
        self, name: str, *, branch: str = "main", small_bytes: int = 32 << 20, deadline_ns: int | None = None
    ) -> Snapshot | None:
        self.asked.append(("compact", name, branch))
        if name in self._broken:
            raise self._broken[name]
        return Snapshot(id=1, parent=0, committed_us=0, change="compact", rows=0)

    async def expire(self, name: str, before_us: int, keep: int = 1, *, deadline_ns: int | None = None) -> int:
        self.asked.append(("expire", name, before_us, keep))
        return 4

    async def clean(self, name: str, before_us: int, *, deadline_ns: int | None = None) -> int:
        self.asked.append(("clean", name, before_us))
        self.cleaned.set()
        return 9


class Unreachable(Cluttered):
    """An engine that does not tell which tables it has."""

    async def tables(self, *, deadline_ns: int | None = None) -> list[str]:
        raise Unavailable("the catalogue is locked", retryable=True)


async def cluttered(engine: Cluttered, *names: str) -> Cluttered:
    await engine.start()
    for name in names or ("films",):
        await engine.create(TableSpec(name=name, columns=SPEC.columns))
    return engine


async def test_a_table_is_compacted_then_forgets_and_then_loses_files(environment: VirtualEnvironment) -> None:
    engine = await cluttered(Cluttered(environment))
    upkeep = Upkeep("t", engine, CONFIG, environment)
    now_us = environment.now_us()
    await upkeep.round()
    assert engine.asked == [
        ("compact", "films", "main"),
        ("expire", "films", now_us - 7 * 24 * HOUR_US, 3),
        ("clean", "films", now_us - 24 * HOUR_US),
    ]
    assert (upkeep.compacted, upkeep.expired, upkeep.removed, upkeep.failures) == (1, 4, 9, 0)


async def test_every_branch_is_compacted(environment: VirtualEnvironment) -> None:
    engine = await cluttered(Cluttered(environment))
    first = await engine.append("films", pa.table({"id": [1]}))
    await engine.point("films", "audit", first.id)
    await Upkeep("t", engine, CONFIG, environment).round()
    assert {asked[2] for asked in engine.asked if asked[0] == "compact"} == {"audit", "main"}


async def test_files_stay_as_they_are_where_that_is_wanted(environment: VirtualEnvironment) -> None:
    engine = await cluttered(Cluttered(environment))
    upkeep = Upkeep("t", engine, TablesConfig(compact=False), environment)
    await upkeep.round()
    assert [asked[0] for asked in engine.asked] == ["expire", "clean"]
    assert upkeep.compacted == 0


async def test_a_table_that_fails_is_counted_and_keeps_no_other_from_its_turn(environment: VirtualEnvironment) -> None:
    engine = await cluttered(Cluttered(environment, {"films": Unavailable("full")}), "films", "plays")
    upkeep = Upkeep("t", engine, CONFIG, environment)
    await upkeep.round()
    assert (upkeep.compacted, upkeep.failures) == (1, 1)
    assert ("clean", "plays", environment.now_us() - 24 * HOUR_US) in engine.asked


async def test_a_table_that_is_dropped_meanwhile_is_no_failure(environment: VirtualEnvironment) -> None:
    engine = await cluttered(Cluttered(environment, {"films": NotFound("gone")}), "films", "plays")
    upkeep = Upkeep("t", engine, CONFIG, environment)
    await upkeep.round()
    assert (upkeep.compacted, upkeep.failures) == (1, 0)


async def test_an_engine_that_cannot_be_reached_is_told_after_the_others_had_their_turn(
    environment: VirtualEnvironment,
) -> None:
    lost = Upkeep("lost", await cluttered(Unreachable(environment)), CONFIG, environment)
    well = Upkeep("well", await cluttered(Cluttered(environment)), CONFIG, environment)
    with pytest.raises(Unavailable, match="locked"):
        await keep_all([lost, well])
    assert (lost.failures, well.compacted) == (1, 1)


def stage_of(open_stage: OpenStage, engine: MemoryTables, **tables: Any) -> Stage:
    config = {"engines": {"films": {"url": "arrow:"}}, "tables": tables}
    return open_stage(config, background=True, engines={"films": engine})


async def test_a_stage_keeps_its_tables_by_itself(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    engine = Cluttered(environment)
    async with stage_of(open_stage, engine, interval="10s"):
        await engine.create(SPEC)
        await engine.cleaned.wait()
    assert ("compact", "films", "main") in engine.asked


async def test_a_stage_that_is_told_not_to_leaves_tables_alone(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Cluttered(environment)
    async with stage_of(open_stage, engine, interval="1s", upkeep=False) as stage:
        await engine.create(SPEC)
        await stage.environment.sleep(60)
        for _ in range(200):
            await asyncio.sleep(0)
    assert engine.asked == []


async def test_the_upkeep_of_tables_is_not_given_to_workers(open_stage: OpenStage) -> None:
    with pytest.raises(InvalidArgument) as refused:
        async with open_stage({"processes": {"workers": {"tables": 1}}}):
            pass
    assert refused.value.field == "processes.workers"


@pytest.mark.slow
async def test_tables_on_disk_lose_old_snapshots_and_their_files_and_no_row(
    tmp_path: Path, environment: VirtualEnvironment
) -> None:
    engine = IcebergTables(embedded_address("t", str(tmp_path), {}), SystemEnvironment(), durable=False)
    await engine.start()
    await engine.create(SPEC)
    for number in range(4):
        await engine.append("films", pa.table({"id": [number]}))
    files = parquet(tmp_path)
    ahead = VirtualEnvironment(start_ns=SystemEnvironment().now_ns() + 8 * 24 * HOUR_US * 1_000)
    upkeep = Upkeep("t", engine, TablesConfig(history_ttl=CONFIG.history_ttl, history_keep=1), ahead)
    await upkeep.round()
    rows = sorted([row["id"] async for batch in engine.scan("films") for row in batch.to_pylist()])
    await engine.stop()
    assert (rows, upkeep.failures) == ([0, 1, 2, 3], 0)
    assert (upkeep.compacted, upkeep.expired, parquet(tmp_path)) == (1, 4, 1)
    assert (files, upkeep.removed > 4) == (4, True)


@pytest.mark.slow
async def test_a_past_state_that_a_branch_is_at_is_kept(tmp_path: Path, environment: VirtualEnvironment) -> None:
    engine = IcebergTables(embedded_address("t", str(tmp_path), {}), SystemEnvironment(), durable=False)
    await engine.start()
    await engine.create(SPEC)
    await engine.append("films", pa.table({"id": [0]}))
    past = await engine.append("films", pa.table({"id": [1]}))
    await engine.point("films", "kept", past.id)
    await engine.overwrite("films", pa.table({"id": [9]}), where=ALL)
    ahead = VirtualEnvironment(start_ns=SystemEnvironment().now_ns() + 8 * 24 * HOUR_US * 1_000)
    upkeep = Upkeep("t", engine, TablesConfig(history_ttl=CONFIG.history_ttl, history_keep=1), ahead)
    for _ in range(2):
        await upkeep.round()
    kept = [row["id"] async for batch in engine.scan("films", at=At(branch="kept")) for row in batch.to_pylist()]
    with pytest.raises(NotFound):
        await anext(engine.scan("films", at=At(snapshot=past.id)))
    await engine.stop()
    assert (sorted(kept), upkeep.failures, upkeep.expired > 0) == ([0, 1], 0, True)


def parquet(folder: Path) -> int:
    return len(list(folder.rglob("*.parquet")))
