"""The suite is only as good as the mistakes it catches: each of these pairs has one, and must fail."""

from __future__ import annotations

import pytest
from tests.testing.outbox.mutants import MUTANTS, PLAYED, Mutant, failures

from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.records.memory import MemoryRecords

# Whole plays of the suite, for each mistake one.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.engine.__name__)
def test_the_suite_sees_that(mutant: Mutant) -> None:
    assert failures(mutant.engine, mutant.seen_by).failed, f"survived: {mutant.engine.__doc__}"


@pytest.mark.parametrize("engine", PLAYED, ids=lambda engine: engine.__name__)
def test_the_random_play_sees_that(engine: type[MemoryLog] | type[MemoryRecords]) -> None:
    assert failures(engine, "whatever_breaks_off").failed, f"survived: {engine.__doc__}"


def test_a_pair_without_a_mistake_passes() -> None:
    run = failures(MemoryLog, "Subject")
    assert (run.failed, run.ran > 12) == ([], True)
