"""The key-value store under simulation: clients that write, read and retry against a store with faults."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from soundstage.testing.simulation.kv.play import KeyValuePlay
from soundstage.testing.simulation.kv.steps import KeyValueStep, draw
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Play, Scenario, Site


class KeyValueScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "kv"
    spared = SYSTEM_TABLES
    situations: Mapping[str, float] = {
        "equal_us": 0.01,
        "reused_token": 0.01,
        "late_under_marker": 0.01,
        "late_under_range": 0.01,
        "late_under_record": 0.01,
        "expiry_boundary": 0.01,
        "conditional_retry_after_overwrite": 0.01,
    }

    def draw(self, random: Random, number: int, client: int) -> KeyValueStep:
        return draw(random, number, client)

    def open(self, site: Site, random: Random) -> Play:
        return KeyValuePlay(site, random)


SCENARIO: Scenario = KeyValueScenario()
