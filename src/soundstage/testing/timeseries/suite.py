"""The tests: walks of fixed and of fresh seeds, what they must meet, and a state machine."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from itertools import count
from random import Random
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from soundstage.testing.records import OpenEngine
from soundstage.testing.timeseries.walk import ACTS, SITUATIONS, Walk, walk

SEED_MAX = 2**32


class TimeSeriesSuite:
    """What the time series store answers over every engine. Subclass it with a fixture `open_engine`."""

    seed: ClassVar[int] = 3
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


class Machine(RuleBasedStateMachine):
    """One walk whose acts hypothesis chooses, on a loop of its own."""

    def __init__(self, open_engine: OpenEngine, name: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._walk = Walk(open_engine, name)
        self._runner.run(self._walk.store.open())

    def do(self, act: Callable[[Walk, Random], Awaitable[None]], chance: Random) -> None:
        """The act is done and its answer is the model's."""

        async def done() -> None:
            await act(self._walk, chance)

        self._runner.run(done())

    def teardown(self) -> None:
        try:
            self._runner.run(self._walk.store.close())
        finally:
            self._runner.close()


def machine_of(open_engine: OpenEngine) -> type[Machine]:
    """A state machine with a rule for each act; every example has a storage of its own."""
    examples = count()

    def begin(self: Machine) -> None:
        Machine.__init__(self, open_engine, f"example-{next(examples)}")

    rules = {act.__name__: _rule_of(act) for act in ACTS}
    return type("TimeSeriesMachine", (Machine,), {"__init__": begin, **rules})


def _rule_of(act: Callable[[Walk, Random], Awaitable[None]]) -> Any:
    def do(self: Machine, seed: int) -> None:
        self.do(act, Random(seed))

    do.__name__ = act.__name__
    return rule(seed=st.integers(0, 2**16))(do)
