"""The state machine does every act, and tells a divergence soon."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from tests.testing.kv.conftest import memory_opener

from soundstage.core.environment import Environment
from soundstage.engines.records import memory
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records
from soundstage.testing.kv import KeyValueSuite
from soundstage.testing.kv.machine import machine_of
from soundstage.testing.kv.readings import Divergence
from soundstage.testing.kv.walk import ACTS, Walk
from soundstage.testing.machines import play
from soundstage.testing.records import OpenEngine


class Opened:
    """Opens engines in memory and counts them: each example has one of its own, and another after each restart."""

    def __init__(self, engine: type[MemoryRecords] = MemoryRecords) -> None:
        self.names: set[str] = set()
        self._open: OpenEngine = memory_opener(engine)

    async def __call__(self, environment: Environment, store: str = "store") -> Records:
        self.names.add(store)
        return await self._open(environment, store)


def nothing_found(self: MemoryRecords, *what: Any) -> Any:
    return memory.Page([], None, None)


def test_there_is_a_rule_for_every_act() -> None:
    kind = machine_of(memory_opener())
    assert [act.__name__ for act in ACTS if not hasattr(kind, act.__name__)] == []


def test_an_act_is_done_on_the_store_of_its_example() -> None:
    opened = Opened()
    kind = machine_of(opened)
    machines = [kind(), kind()]  # type: ignore[call-arg]
    for machine in machines:
        machine.do(Walk.put, Random(1))
        machine.teardown()
    assert opened.names == {"example-0", "example-1"}


def test_what_the_last_act_left_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_of(memory_opener())()  # type: ignore[call-arg]
    for seed in range(5):
        machine.do(Walk.put, Random(seed))
    monkeypatch.setattr(MemoryRecords, "_page", nothing_found)
    with pytest.raises(Divergence):
        machine.teardown()


def test_a_healthy_store_passes() -> None:
    play(machine_of(memory_opener()), examples=3, acts=10)


class Hasty(MemoryRecords):
    """Says that writes are stamped a microsecond later than they are."""

    async def apply(self, table: str, *what: Any, **how: Any) -> int:
        stamp_us = await super().apply(table, *what, **how)
        return stamp_us if table.startswith("system/") else stamp_us + 1


def test_a_divergence_is_told_in_the_time_of_a_run_without_one() -> None:
    """Making it small would take minutes, and whoever limits the time of a test would be told of that alone."""
    opened, suite = Opened(Hasty), KeyValueSuite()
    with pytest.raises(Divergence, match="not stamped") as found:
        suite.test_a_state_machine_finds_no_divergence(opened)
    assert len(opened.names) <= 2 * suite.examples
    assert any("seed=" in note for note in found.value.__notes__), "no seed to do the acts again with"
