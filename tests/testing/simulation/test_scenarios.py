from __future__ import annotations

from importlib.util import find_spec
from random import Random
from typing import get_args, get_type_hints

import pytest

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import NotFound
from soundstage.testing.simulation.coverage import Coverage
from soundstage.testing.simulation.episode import Episode, episodes
from soundstage.testing.simulation.kv import SCENARIO
from soundstage.testing.simulation.scenarios import PACKAGE, PARTS, find_scenario, find_storages, simulated
from soundstage.testing.simulation.storage import STORAGES, MemoryStorage

SHORT_RUNS = [
    ("changes", "5", 120),
    ("dictionaries", "5", 120),
    ("files", "5", 60),
    ("kv", "1", 120),
    ("kv", "2", 120),
    ("kv", "3", 120),
    ("leases", "5", 150),
    ("namespaces", "5", 150),
    ("timeseries", "5", 120),
    ("tokens", "5", 150),
    ("writeahead", "5", 120),
    pytest.param("jobs", "5", 100, marks=pytest.mark.slow),
    pytest.param("schedule", "5", 80, marks=pytest.mark.slow),
]
LONG_RUNS = {
    "caches": 4_000,
    "changes": 12_000,
    "dictionaries": 6_000,
    "files": 3_000,
    "jobs": 1_000,
    "kv": 8_000,
    "leases": 12_000,
    "namespaces": 8_000,
    "schedule": 2_000,
    "timeseries": 8_000,
    "tokens": 8_000,
    "writeahead": 2_000,
}
"""Steps in which every situation is met as often as its scenario demands."""

SEEDS = {"timeseries": "d"}
"""Where the few storms that "coverage" draws leave no call of unknown outcome; others have 5 to 150 of them."""


def test_the_catalogue_says_which_systems_are_simulated() -> None:
    assert set(simulated()) - set(PARTS) == {system.name for system in SYSTEMS if system.simulated}


@pytest.mark.parametrize("system", simulated())
def test_every_simulated_system_has_a_scenario_of_its_name(system: str) -> None:
    assert find_scenario(system).system == system


def test_no_scenario_is_left_of_a_system_that_is_not_simulated() -> None:
    others = [system.name for system in SYSTEMS if not system.simulated and system.name not in PARTS]
    assert [name for name in others if find_spec(f"{PACKAGE}.{name}") is not None] == []


@pytest.mark.parametrize("system", simulated())
def test_a_scenario_draws_the_same_steps_from_the_same_dice(system: str) -> None:
    scenario = find_scenario(system)
    assert scenario.draw(Random(3), 7, 2) == scenario.draw(Random(3), 7, 2)


@pytest.mark.parametrize("system", simulated())
def test_a_step_is_of_its_number_and_its_client(system: str) -> None:
    step = find_scenario(system).draw(Random(3), 7, 2)
    assert (step.number, step.client) == (7, 2)


@pytest.mark.parametrize("system", simulated())
def test_a_scenario_draws_every_act(system: str) -> None:
    drawn = [find_scenario(system).draw(Random(seed), seed, 0) for seed in range(3_000)]
    acts = get_args(get_type_hints(type(drawn[0]))["act"])
    assert {getattr(step, "act", "") for step in drawn} == set(acts)


@pytest.mark.parametrize("engine", sorted(STORAGES))
@pytest.mark.parametrize(("system", "seed", "steps"), SHORT_RUNS)
def test_a_short_run_is_explained_and_repeats_itself(engine: str, system: str, seed: str, steps: int) -> None:
    first, again = (Episode(find_scenario(system), STORAGES[engine], seed, steps).play() for _ in range(2))
    assert first.divergence is None
    assert first.digest == again.digest


@pytest.mark.slow
@pytest.mark.parametrize("system", simulated())
def test_every_situation_is_met_often_enough(system: str) -> None:
    scenario, coverage = find_scenario(system), Coverage()
    for episode in episodes(scenario, STORAGES["memory"], SEEDS.get(system, "coverage"), LONG_RUNS[system]):
        outcome = episode.play()
        assert outcome.divergence is None
        coverage.add(outcome.coverage)
    assert coverage.missed(scenario.situations) == {}


def test_a_scenario_of_one_s_own_is_found_by_its_path() -> None:
    assert find_scenario("soundstage.testing.simulation.kv:SCENARIO") is SCENARIO


def test_storages_are_found_by_name_and_by_path() -> None:
    assert isinstance(find_storages("memory")(Random(1)), MemoryStorage)
    assert find_storages("soundstage.testing.simulation.storage:memory") is find_storages("memory")


@pytest.mark.parametrize("name", ["kw", "loop", ""])
def test_an_unknown_system_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(NotFound, match="simulated") as refused:
        find_scenario(name)
    assert "kv" in (refused.value.hint or "")


def test_an_unknown_engine_is_refused_with_what_there_is() -> None:
    with pytest.raises(NotFound, match="no engine 'lmdb'") as refused:
        find_storages("lmdb")
    assert "memory, rocksdb" in (refused.value.hint or "")


@pytest.mark.parametrize("path", ["no_such_package:SCENARIO", "soundstage:NOTHING"])
def test_a_path_to_nothing_is_refused(path: str) -> None:
    with pytest.raises(NotFound, match="cannot be loaded"):
        find_scenario(path)
