"""The tests: walks of fixed and of fresh seeds, what they must meet, a state machine, and every edge by itself."""

from __future__ import annotations

import secrets
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from soundstage.testing import machines
from soundstage.testing.machines import Machine
from soundstage.testing.records import OpenEngine
from soundstage.testing.timeseries.suite.edges import TimeSeriesEdges
from soundstage.testing.timeseries.walk import ACTS, SITUATIONS, Walk, walk

SEED_MAX = 2**32


class TimeSeriesSuite(TimeSeriesEdges):
    """What the time series store answers over every engine. Subclass it with a fixture `open_engine`."""

    seed: ClassVar[int] = 5
    steps: ClassVar[int] = 400
    examples: ClassVar[int] = 10

    async def test_a_walk_is_answered_as_by_a_sorted_list_and_meets_every_situation(
        self, open_engine: OpenEngine
    ) -> None:
        met = await walk(open_engine, self.seed, self.steps)
        assert [each for each in SITUATIONS if met[each] < self.steps // 100] == []

    async def test_a_walk_of_a_fresh_seed_is_answered_as_by_a_sorted_list(self, open_engine: OpenEngine) -> None:
        # A divergence names its seed.
        await walk(open_engine, secrets.randbelow(SEED_MAX), self.steps)

    def test_a_state_machine_finds_no_divergence(self, open_engine: OpenEngine) -> None:
        run_state_machine_as_test(
            machine_of(open_engine),
            settings=settings(
                max_examples=self.examples,
                stateful_step_count=25,
                deadline=None,
                database=None,
                # Whoever limits the time of a test would be told of that, and of no divergence.
                phases=[Phase.generate],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )


def machine_of(open_engine: OpenEngine) -> type[Machine]:
    """A state machine with a rule for each act; every example has a storage of its own."""
    return machines.machine_of("TimeSeriesMachine", lambda name: Walk(open_engine, name), ACTS)
