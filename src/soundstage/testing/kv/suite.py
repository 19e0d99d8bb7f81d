"""The tests: walks of fixed and of fresh seeds, what they must meet, and the state machine."""

from __future__ import annotations

import secrets
from typing import ClassVar

from soundstage.testing import machines
from soundstage.testing.kv.machine import machine_of
from soundstage.testing.kv.walk import walk
from soundstage.testing.records import OpenEngine

SEED_MAX = 2**32

KEPT_SHARE = 100
"""So many steps, at most, for each read that the cache answers."""


class KeyValueSuite:
    """What the key-value store answers over every engine. Subclass it with a fixture `open_engine`, see `OpenEngine`.

    `seeds` are walked by every engine, with `steps` each; so many are needed to meet every situation. With `shrinks`
    a divergence of the state machine is told in the fewest acts, which may take minutes.
    """

    seeds: ClassVar[tuple[int, ...]] = (1, 3)
    steps: ClassVar[int] = 2_000
    examples: ClassVar[int] = 15
    shrinks: ClassVar[bool] = False

    def test_walks_of_the_same_seeds_are_answered_as_by_the_model(self, open_engine: OpenEngine) -> None:
        for seed in self.seeds:
            walk(open_engine, seed, self.steps // 2, f"seed-{seed}")

    def test_a_walk_of_a_fresh_seed_is_answered_as_by_the_model(self, open_engine: OpenEngine) -> None:
        # A divergence names its seed.
        walk(open_engine, secrets.randbelow(SEED_MAX), self.steps)

    def test_a_walk_by_way_of_a_cache_is_answered_as_by_the_model(self, open_engine: OpenEngine) -> None:
        met = walk(open_engine, secrets.randbelow(SEED_MAX), self.steps, "cached", cached=True)
        assert met["kept"] >= met["steps"] / KEPT_SHARE

    def test_every_situation_occurs_in_one_of_a_hundred_steps(self, open_engine: OpenEngine) -> None:
        assert walk(open_engine, self.seeds[0], self.steps).missed() == {}

    def test_a_state_machine_finds_no_divergence(self, open_engine: OpenEngine) -> None:
        machines.play(machine_of(open_engine), self.examples, 30, shrinks=self.shrinks)
