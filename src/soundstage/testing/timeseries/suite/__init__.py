"""The tests: walks of fixed and of fresh seeds, what they must meet, a state machine, and every edge by itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import ClassVar

from soundstage.core.environment import Environment
from soundstage.engines.blobs.port import Blobs
from soundstage.testing import machines
from soundstage.testing.machines import Machine
from soundstage.testing.records import OpenEngine
from soundstage.testing.timeseries.suite.edges import TimeSeriesEdges
from soundstage.testing.timeseries.walk import ACTS, COMPACTED, COMPACTING, SITUATIONS, Walk, walk

SEED_MAX = 2**32


class TimeSeriesSuite(TimeSeriesEdges):
    """What the time series store answers over every engine. Subclass it with a fixture `open_engine`."""

    seed: ClassVar[int] = 1
    steps: ClassVar[int] = 400
    examples: ClassVar[int] = 10
    cold: ClassVar[Callable[[Environment], Blobs] | None] = None
    """Opens an engine for segments: slices are rewritten then while they are read and written."""

    async def test_a_walk_is_answered_as_by_a_sorted_list_and_meets_every_situation(
        self, open_engine: OpenEngine
    ) -> None:
        met = await walk(open_engine, self.seed, self.steps, cold=type(self).cold)
        situations = SITUATIONS if type(self).cold is None else (*SITUATIONS, *COMPACTED)
        assert [each for each in situations if met[each] < self.steps // 100] == []

    async def test_a_walk_of_a_fresh_seed_is_answered_as_by_a_sorted_list(self, open_engine: OpenEngine) -> None:
        # A divergence names its seed.
        await walk(open_engine, secrets.randbelow(SEED_MAX), self.steps, cold=type(self).cold)

    def test_a_state_machine_finds_no_divergence(self, open_engine: OpenEngine) -> None:
        machines.play(machine_of(open_engine, type(self).cold), self.examples, 25)


def machine_of(open_engine: OpenEngine, cold: Callable[[Environment], Blobs] | None = None) -> type[Machine]:
    """A state machine with a rule for each act; every example has a storage of its own."""
    acts = ACTS if cold is None else COMPACTING
    return machines.machine_of("TimeSeriesMachine", lambda name: Walk(open_engine, name, cold), acts)
