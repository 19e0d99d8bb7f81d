"""The acts of a walk as a state machine of hypothesis, which can find the fewest that lead to a divergence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import count
from random import Random
from typing import Any, Protocol

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from soundstage.testing.stores import StoreUnderTest

SEED_MAX = 2**16


class Walked(Protocol):
    """A walk: acts are done on its store, and answered as by its model."""

    @property
    def store(self) -> StoreUnderTest: ...

    async def finish(self) -> None:
        """Everything is as in the model."""
        ...


class Machine(RuleBasedStateMachine):
    """One walk whose acts hypothesis chooses, on a loop of its own."""

    def __init__(self, walk: Walked) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._walk = walk
        self._runner.run(self._walk.store.open())

    def do(self, act: Callable[[Any, Random], Any], chance: Random) -> None:
        """The act is done and its answer is the model's."""
        self._runner.run(act(self._walk, chance))

    def teardown(self) -> None:
        """What the last step left is compared too."""
        try:
            self._runner.run(self._walk.finish())
        finally:
            self._runner.run(self._walk.store.close())
            self._runner.close()


def machine_of(name: str, walk: Callable[[str], Walked], acts: Iterable[Callable[[Any, Random], Any]]) -> type[Machine]:
    """A state machine with a rule for each act; every example is a `walk` on a storage of its own."""
    examples = count()

    def begin(self: Machine) -> None:
        Machine.__init__(self, walk(f"example-{next(examples)}"))

    rules = {act.__name__: _rule_of(act) for act in acts}
    return type(name, (Machine,), {"__init__": begin, **rules})


def play(machine: type[Machine], examples: int, acts: int, *, shrinks: bool = False) -> None:
    """So many examples of so many acts, at most, were answered as by the model. Raises what the first other one did.

    With `shrinks` that is told in the fewest acts, which may take minutes.
    """
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=acts,
            deadline=None,
            database=None,
            # Whoever limits the time of a test would be told of that, and of no divergence.
            phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def _rule_of(act: Callable[[Any, Random], Any]) -> Any:
    def do(self: Machine, seed: int) -> None:
        self.do(act, Random(seed))

    do.__name__ = act.__name__
    # One number for all choices of an act: it is printed whole, and there is little to try in making it smaller.
    return rule(seed=st.integers(0, SEED_MAX))(do)
