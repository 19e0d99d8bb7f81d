from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random

import pytest
from tests.testing.simulation.register import HONEST, LYING, Count, RegisterPlay, RegisterScenario

from soundstage.core.errors import NotFound
from soundstage.testing.simulation.disturbance import Disturbance
from soundstage.testing.simulation.episode import EPISODE_STEPS, Episode, episodes
from soundstage.testing.simulation.scenario import Play, Site
from soundstage.testing.simulation.shrink import shrink
from soundstage.testing.simulation.storage import memory, rocksdb


def episode(scenario: object = HONEST, seed: str = "7", count: int = 150) -> Episode:
    return Episode(scenario, memory, seed, count)  # type: ignore[arg-type]


def test_an_honest_scenario_does_not_diverge() -> None:
    outcome = episode().play()
    assert outcome.divergence is None
    assert outcome.coverage.steps == 150


def test_one_seed_is_one_history() -> None:
    first, again = (episode().play(keep_transcript=True) for _ in range(2))
    assert first.transcript == again.transcript
    assert first.digest == again.digest
    assert len(first.transcript) > 150


def test_a_database_on_disk_has_one_history_per_seed_too() -> None:
    first, again = (Episode(HONEST, rocksdb, "7", 100).play() for _ in range(2))
    assert first.divergence is None
    assert first.digest == again.digest


def test_another_seed_is_another_history() -> None:
    assert episode(seed="7").play().digest != episode(seed="8").play().digest


def test_keeping_the_transcript_changes_nothing() -> None:
    assert episode().play().digest == episode().play(keep_transcript=True).digest


def test_no_transcript_is_kept_unless_asked_for() -> None:
    assert episode().play().transcript == []


def test_clients_work_side_by_side() -> None:
    outcomes = [episode(seed=str(seed)).play().coverage for seed in range(4)]
    assert sum(outcome.situations["overtaken"] for outcome in outcomes) > 0


def test_steps_of_every_client_and_disturbances_are_drawn() -> None:
    drawn = episode(count=EPISODE_STEPS)
    clients = {step.client for step in drawn.steps}
    assert clients == set(range(drawn.climate.clients))
    assert 60 < sum(isinstance(step, Disturbance) for step in drawn.steps) < 200
    assert [step.number for step in drawn.steps] == list(range(EPISODE_STEPS))


def test_acts_situations_and_virtual_time_are_counted() -> None:
    coverage = episode().play().coverage
    assert sum(coverage.acts.values()) == 150
    assert coverage.situations["counted"] > 50
    assert coverage.virtual_s > 0


def test_a_planted_divergence_is_found_and_names_its_step() -> None:
    lying = episode(LYING, count=250)
    divergence = lying.play().divergence
    first = next(step.number for step in lying.steps if isinstance(step, Count) and step.lies)
    assert divergence is not None
    assert "the register holds" in str(divergence)
    assert int(str(divergence).removeprefix("step ").partition(":")[0]) >= first


def test_a_planted_divergence_is_shrunk_to_the_step_that_lies() -> None:
    lying = episode(LYING, count=250)
    assert lying.play().divergence is not None
    fewest = shrink(lying.steps, lying.diverges)
    assert [isinstance(step, Count) and step.lies for step in fewest] == [True]


def test_the_steps_that_are_left_meet_the_same_faults() -> None:
    """What strikes a step is drawn from its own number, whatever steps are played beside it."""
    whole = episode(count=60)
    alone = [step for step in whole.steps if step.client == 0]
    told = whole.play(alone, keep_transcript=True).transcript
    assert told == whole.play(alone, keep_transcript=True).transcript
    assert whole.play(alone[:10], keep_transcript=True).transcript[:5] == told[:5]


class Failing(RegisterPlay):
    """Fails in its own way at step 20."""

    error: Exception | None = None

    async def play(self, step: Count) -> None:
        if step.number >= 20:
            if self.error is None:
                await asyncio.get_running_loop().create_future()
            else:
                raise self.error
        await super().play(step)


class FailingScenario(RegisterScenario):
    situations: Mapping[str, float] = {}

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self._error = error

    def open(self, site: Site, random: Random) -> Play:
        play = Failing(site)
        play.error = self._error
        return play


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotFound("gone"), "was refused: NotFound('gone')"),
        (ZeroDivisionError("oh"), "failed: ZeroDivisionError('oh')"),
        (None, "every task waits for another one"),
    ],
)
def test_whatever_ends_a_step_badly_is_a_divergence(error: Exception | None, said: str) -> None:
    divergence = episode(FailingScenario(error)).play().divergence
    assert said in str(divergence)


def test_what_a_divergence_came_from_is_kept() -> None:
    error = ZeroDivisionError("oh")
    divergence = episode(FailingScenario(error)).play().divergence
    assert divergence is not None
    assert divergence.__cause__ is error


def test_a_rest_is_taken_by_all_clients_together() -> None:
    whole = episode(count=300)
    rests = [step for step in whole.steps if isinstance(step, Disturbance) and step.act == "rest"]
    assert rests
    assert whole.play().coverage.virtual_s >= sum(step.rest_s for step in rests)


def test_a_run_is_cut_into_episodes_of_their_own_seeds() -> None:
    cut = list(episodes(HONEST, memory, 5, EPISODE_STEPS * 2 + 10))
    assert [(each.seed, len(each.steps)) for each in cut] == [
        ("5/0", EPISODE_STEPS),
        ("5/1", EPISODE_STEPS),
        ("5/2", 10),
    ]


def test_a_longer_run_begins_as_a_shorter_one() -> None:
    short, long = (next(iter(episodes(HONEST, memory, 5, steps))) for steps in (100, 200))
    assert long.steps[:100] == short.steps
