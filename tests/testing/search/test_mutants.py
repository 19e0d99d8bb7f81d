"""The suite is only as good as the mistakes it catches: each of these engines has one, and must fail."""

from __future__ import annotations

import pytest
from tests.testing.search.mutants import HISTORY, MUTANTS, REQUESTS, Mutant, failures

from soundstage.engines.search.memory import MemorySearch


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.engine.__name__)
def test_the_suite_sees_that(mutant: Mutant) -> None:
    assert failures(mutant.engine, mutant.seen_by).failed, f"survived: {mutant.engine.__doc__}"


@pytest.mark.slow
@pytest.mark.parametrize("engine", REQUESTS, ids=lambda engine: engine.__name__)
def test_random_requests_see_that(engine: type[MemorySearch]) -> None:
    assert failures(engine, "any_request").failed, f"survived: {engine.__doc__}"


@pytest.mark.slow
@pytest.mark.parametrize("engine", HISTORY, ids=lambda engine: engine.__name__)
def test_random_histories_see_that(engine: type[MemorySearch]) -> None:
    assert failures(engine, "any_history").failed, f"survived: {engine.__doc__}"


@pytest.mark.slow
def test_an_engine_without_a_mistake_passes() -> None:
    run = failures(MemorySearch, "Subject")
    assert run.failed == []
    assert run.ran > 250
