"""The key-value store on a real Cassandra beside the model: what it answers after hundreds of drawn calls."""

from __future__ import annotations

import pytest

from soundstage.testing import machines
from soundstage.testing.kv.machine import machine_of
from soundstage.testing.kv.walk import walk
from soundstage.testing.records import OpenEngine

pytestmark = pytest.mark.slow

STEPS, EXAMPLES = 400, 4
"""The memory and the embedded engine walk thousands, and seeds that nobody has chosen."""


@pytest.mark.parametrize(("seed", "cached"), [(1, False), (3, False), (5, True)])
def test_a_walk_is_answered_as_by_the_model(open_engine: OpenEngine, seed: int, *, cached: bool) -> None:
    assert walk(open_engine, seed, STEPS, cached=cached)["steps"] == STEPS


def test_a_state_machine_finds_no_divergence(open_engine: OpenEngine) -> None:
    machines.play(machine_of(open_engine), EXAMPLES, 30)
