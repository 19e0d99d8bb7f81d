"""Real servers, really killed. What must fail is here too: builds that are broken on purpose."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soundstage.testing.crash import Broken, Plan, build_shim, crash

QUICK = Plan(rounds=2, calls_per_round=120, writers=6)

START = "from soundstage.surface.cli import main; import sys; sys.exit(main())"

WITHOUT_FLUSH = f"""
from soundstage.engines.rocks.disk import Disk
Disk.flush = lambda self, db: None
{START}
"""

WITHOUT_GATES = f"""
from soundstage.engines.rocks.commit import GroupCommit
GroupCommit.gate = lambda self, key: None
{START}
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


def build(code: str) -> tuple[str, ...]:
    """A broken build: what it does first, and then Soundstage."""
    return (sys.executable, "-c", code)


def planned(**changes: Any) -> Plan:
    return msgspec.structs.replace(QUICK, **changes)


@pytest.mark.slow
def test_a_killed_server_keeps_every_promise(tmp_path: Path) -> None:
    report = crash(tmp_path, planned(seed=11, rounds=1))
    assert report.rounds == 1
    assert report.acknowledged > 0
    assert report.in_doubt > 0


@pytest.mark.slow
def test_a_server_that_loses_power_keeps_every_promise(tmp_path: Path, shim: Path) -> None:
    report = crash(tmp_path, planned(seed=12, shim=shim))
    assert report.bytes_lost > 0


@pytest.mark.slow
def test_a_server_on_a_slow_disk_that_loses_power_keeps_every_promise(tmp_path: Path, shim: Path) -> None:
    report = crash(tmp_path, planned(seed=13, shim=shim, delay_ms=20, rounds=1))
    assert report.bytes_lost > 0


@pytest.mark.slow
def test_always_keeps_every_promise(tmp_path: Path, shim: Path) -> None:
    assert crash(tmp_path, planned(seed=14, shim=shim, durability="always", rounds=1)).acknowledged > 0


@pytest.mark.slow
def test_without_durability_a_killed_server_loses_nothing(tmp_path: Path) -> None:
    assert crash(tmp_path, planned(seed=15, durability="os", rounds=1)).acknowledged > 0


@pytest.mark.slow
def test_a_build_that_skips_the_flush_is_found_out(tmp_path: Path, shim: Path) -> None:
    with pytest.raises(Broken):
        crash(tmp_path, planned(seed=17, shim=shim, program=build(WITHOUT_FLUSH)))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_build_that_answers_readers_before_the_flush_is_found_out(tmp_path: Path, shim: Path) -> None:
    # Somebody must read between a write and its flush, and the power go then: that takes some rounds, or many.
    with pytest.raises(Broken, match="was shown, and then"):
        crash(tmp_path, planned(seed=18, shim=shim, delay_ms=40, rounds=60, program=build(WITHOUT_GATES)))


def test_a_server_that_does_not_start_has_broken_its_promise(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="did not become ready: no disk"):
        crash(tmp_path, planned(program=build("import sys; sys.exit('no disk')")))
