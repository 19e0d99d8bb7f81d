"""The acts of a walk as a state machine of hypothesis, which can find the fewest that lead to a divergence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from soundstage.testing.kv.walk import ACTS, Walk
from soundstage.testing.records import OpenEngine

SEED_MAX = 2**16


class Machine(RuleBasedStateMachine):
    """One walk whose acts hypothesis chooses, on a loop of its own."""

    def __init__(self, open_engine: OpenEngine, name: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._walk = Walk(open_engine, name=name)
        self._runner.run(self._walk.store.open())

    def do(self, act: Callable[[Walk, Random], Any], chance: Random) -> None:
        """The act is done and its answer is the model's."""
        self._runner.run(act(self._walk, chance))

    def teardown(self) -> None:
        """What the last step left is compared too."""
        try:
            self._runner.run(self._walk.finish())
        finally:
            self._runner.run(self._walk.store.close())
            self._runner.close()


def machine_of(open_engine: OpenEngine) -> type[Machine]:
    """A state machine with a rule for each act; every example has a storage of its own."""
    examples = count()

    def begin(self: Machine) -> None:
        Machine.__init__(self, open_engine, f"example-{next(examples)}")

    rules = {act.__name__: _rule_of(act) for act in ACTS}
    return type("KeyValueMachine", (Machine,), {"__init__": begin, **rules})


def _rule_of(act: Callable[[Walk, Random], Any]) -> Any:
    def do(self: Machine, seed: int) -> None:
        self.do(act, Random(seed))

    do.__name__ = act.__name__
    # One number for all choices of an act: it is printed whole, and there is little to try in making it smaller.
    return rule(seed=st.integers(0, SEED_MAX))(do)
