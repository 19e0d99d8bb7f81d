"""The suite is only as good as the mistakes it catches: each of these engines has one, and must fail."""

from __future__ import annotations

import asyncio

import pytest
from tests.testing.cache.mutants import HISTORY, MUTANTS, Mutant, failures

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.cache.memory import MemoryCache
from soundstage.testing.cache.histories import ACTS, Step, play


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.engine.__name__)
def test_the_suite_sees_that(mutant: Mutant) -> None:
    assert failures(mutant.engine, mutant.seen_by).failed, f"survived: {mutant.engine.__doc__}"


@pytest.mark.slow
@pytest.mark.parametrize("engine", HISTORY, ids=lambda engine: engine.__name__)
def test_random_histories_see_that(engine: type[MemoryCache]) -> None:
    assert failures(engine, "any_history").failed, f"survived: {engine.__doc__}"


@pytest.mark.slow
def test_an_engine_without_a_mistake_passes() -> None:
    run = failures(MemoryCache, "Subject")
    assert run.failed == []
    assert run.ran > 60


def test_a_history_is_answered_call_by_call() -> None:
    async def played() -> list[object]:
        engine = MemoryCache(VirtualEnvironment())
        await engine.start()
        return await play(engine, [Step(act, 0, 1) for act in ACTS], b"p")

    assert asyncio.run(played()) == [
        ("miss",),
        True,
        False,
        False,
        True,
        True,
        False,
        False,
        1,
        (False, (b"1", 0, True)),
    ]


def test_refusals_are_answers_too() -> None:
    async def played() -> list[object]:
        engine = MemoryCache(VirtualEnvironment())
        await engine.start()
        return await play(engine, [Step("set", 0, 1), Step("add", 0, 1)], b"p")

    assert asyncio.run(played()) == [True, "PreconditionFailed"]
