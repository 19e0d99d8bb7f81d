from __future__ import annotations

from tests.runtime.conftest import OpenStage, make

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Entry, LogSweep, TopicSpec
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Batch, Sweep, TableSpec
from soundstage.runtime.config import SweeperConfig
from soundstage.runtime.sweeper import LogSweeper, Sweeper

CONFIG = SweeperConfig(rows_per_round=100, rows_per_second=1_000)


class Dusty(MemoryRecords):
    """An engine with so many dead rows, which take their time to go."""

    dead = 0
    seconds = 0.0

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.virtual = environment

    async def sweep(self, budget_rows: int) -> Sweep:
        purged = min(self.dead, budget_rows)
        self.dead -= purged
        self.virtual.advance(self.seconds)
        return Sweep(purged, self.dead, 5 if self.dead else None)


def sweeper(engine: MemoryRecords, environment: VirtualEnvironment) -> Sweeper:
    return Sweeper("default", engine, CONFIG, environment)


async def test_with_nothing_due_it_rests_for_the_usual_interval(environment: VirtualEnvironment) -> None:
    each = sweeper(Dusty(environment), environment)
    assert await each.round() is None
    assert (each.purged, each.backlog, each.overdue_s(10)) == (0, 0, 0.0)


async def test_a_round_takes_its_share_and_counts_the_rest(environment: VirtualEnvironment) -> None:
    engine = Dusty(environment)
    engine.dead = 250
    each = sweeper(engine, environment)
    await each.round()
    assert (each.purged, each.backlog) == (100, 150)
    assert each.overdue_s(2_000_005) == 2.0


async def test_it_keeps_to_its_rate(environment: VirtualEnvironment) -> None:
    engine = Dusty(environment)
    engine.dead, engine.seconds = 1_000, 0.03
    pause = await sweeper(engine, environment).round()
    assert pause is not None
    assert abs(pause - 0.07) < 1e-6


async def test_an_engine_slower_than_the_rate_is_asked_again_at_once(environment: VirtualEnvironment) -> None:
    engine = Dusty(environment)
    engine.dead, engine.seconds = 1_000, 3.0
    assert await sweeper(engine, environment).round() == 0.0


async def test_the_last_round_of_a_backlog_ends_in_the_usual_rest(environment: VirtualEnvironment) -> None:
    engine = Dusty(environment)
    engine.dead = 40
    assert await sweeper(engine, environment).round() is None


async def test_dead_rows_of_a_real_engine_go(environment: VirtualEnvironment) -> None:
    engine = MemoryRecords(environment)
    await engine.start()
    await engine.create_table(TableSpec(name="t"))
    now_us = environment.now_us()
    expired = version.put(now_us, "t", b"v", now_us + 1)
    await engine.apply("t", b"p", Batch(cells=[(b"k", expired)]))
    environment.advance(3_600)
    each = sweeper(engine, environment)
    await each.round()
    assert (each.purged, each.backlog) == (1, 0)


async def test_a_stage_sweeps_each_engine_once(open_stage: OpenStage) -> None:
    config = {"engines": {"other": {"url": "memory:"}}}
    async with open_stage(config) as stage:
        await make(stage)
        await stage.run_background()
        text = stage.metrics_text().decode()
    for engine in ("default", "other"):
        assert f'soundstage_background_rounds_total{{round="sweeper of {engine}"}} 1.0' in text


class LongLog(MemoryLog):
    """A log of so many entries, of which every look takes its time."""

    left = 0
    seconds = 0.0

    def __init__(self, environment: VirtualEnvironment) -> None:
        super().__init__(environment)
        self.virtual = environment

    async def sweep(self, budget: int) -> LogSweep:
        examined = min(self.left, budget)
        self.left -= examined
        self.virtual.advance(self.seconds)
        return LogSweep(examined, examined // 2, self.left > 0)


async def test_a_round_over_a_log_takes_its_share_and_keeps_to_its_rate(environment: VirtualEnvironment) -> None:
    log = LongLog(environment)
    log.left, log.seconds = 150, 0.04
    sweeper = LogSweeper("default", log, CONFIG, environment)
    assert await sweeper.round() == 0.1 - 0.04
    assert (await sweeper.round(), sweeper.removed, log.left) == (None, 75, 0)


async def test_a_slow_log_is_swept_on_at_once(environment: VirtualEnvironment) -> None:
    log = LongLog(environment)
    log.left, log.seconds = 500, 1.0
    assert await LogSweeper("default", log, CONFIG, environment).round() == 0.0


async def test_a_stage_sweeps_its_logs(open_stage: OpenStage) -> None:
    async with open_stage() as stage:
        log = stage.log()
        await log.create_topic(TopicSpec(name="topic", retention_bytes=0))
        await log.append("topic", [Entry(b"a"), Entry(b"b")])
        await stage.run_background()
        text = stage.metrics_text().decode()
        assert await log.bounds("topic") == [(2, 2)]
    assert 'soundstage_log_removed_entries_total{engine="default"} 2.0' in text
    assert 'soundstage_background_rounds_total{round="sweeper of the log default"} 1.0' in text
