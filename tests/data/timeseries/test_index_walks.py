"""Walks of an index over the engine in memory; `tests/conformance` has one over a real engine."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.data.timeseries.index_walks import CALM, ROUGH, walk

from soundstage.core.environment import SystemEnvironment
from soundstage.engines.search.memory import MemorySearch

STEPS = 160


@pytest.mark.parametrize("weights", [ROUGH, CALM])
@pytest.mark.parametrize("seed", range(8))
async def test_whatever_befalls_an_index_it_has_everything_in_the_end(
    seed: int, weights: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    await walk(lambda: MemorySearch(SystemEnvironment()), seed, weights, STEPS, monkeypatch)
