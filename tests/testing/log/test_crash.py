"""Real processes, really killed. What must fail is here too: builds that are broken on purpose."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soundstage.testing.crash import Broken, build_shim
from soundstage.testing.log.crash import LogPlan, crash_log

QUICK = LogPlan(rounds=2, calls_per_round=60)

START = "from soundstage.testing.log.victim import main; import sys; main(sys.argv[1:])"

WITHOUT_FLUSH = f"""
from soundstage.engines.rocks.disk import Disk
Disk.flush = lambda self, db: None
{START}
"""

WITHOUT_GATES = f"""
from soundstage.engines.rocks.commit import GroupCommit
GroupCommit.gate = lambda self, key: None
GroupCommit.gate_each = lambda self, keys: None
{START}
"""

IN_TWO_BATCHES = f"""
import asyncio
from soundstage.engines.log.port import Together
from soundstage.engines.log.rocksdb import RocksLog

async def apart(self, writes, appends, deadline_ns=None):
    spots = [await self.append(each.topic, each.entries) for each in appends]
    # So long that a kill at any moment finds some producer between the halves.
    await asyncio.sleep(0.05)
    done = await self.database.atomically(self._together, writes, [])
    return Together(done.stamps, spots)

RocksLog.write_together = apart
{START}
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


def build(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def planned(**changes: Any) -> LogPlan:
    return msgspec.structs.replace(QUICK, **changes)


@pytest.mark.slow
def test_a_killed_process_keeps_every_promise(tmp_path: Path) -> None:
    report = crash_log(tmp_path, planned(seed=1))
    assert report.acknowledged > 0
    assert report.shown > 0


@pytest.mark.slow
def test_a_process_that_loses_power_keeps_every_promise(tmp_path: Path, shim: Path) -> None:
    assert crash_log(tmp_path, planned(seed=2, shim=shim)).bytes_lost > 0


@pytest.mark.slow
def test_a_process_on_a_slow_disk_that_loses_power_keeps_every_promise(tmp_path: Path, shim: Path) -> None:
    assert crash_log(tmp_path, planned(seed=3, shim=shim, delay_ms=10, rounds=1)).bytes_lost > 0


@pytest.mark.slow
def test_a_build_that_skips_the_flush_is_found_out(tmp_path: Path, shim: Path) -> None:
    with pytest.raises(Broken, match=r"acknowledged|shown"):
        crash_log(tmp_path, planned(seed=4, shim=shim, program=build(WITHOUT_FLUSH)))


@pytest.mark.slow
def test_a_build_that_shows_what_is_not_flushed_is_found_out(tmp_path: Path, shim: Path) -> None:
    # Each round it dies right after it showed something, a flush takes that long, and one round is enough.
    slow = planned(seed=5, shim=shim, delay_ms=120, rounds=8, calls_per_round=1, program=build(WITHOUT_GATES))
    with pytest.raises(Broken, match="shown"):
        crash_log(tmp_path, slow)


@pytest.mark.slow
def test_a_build_that_writes_together_in_two_batches_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="written together"):
        crash_log(tmp_path, planned(seed=6, rounds=8, program=build(IN_TWO_BATCHES)))


def test_a_process_that_does_not_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="ended by itself"):
        crash_log(tmp_path, planned(program=build("")))
