"""The suite is only as good as the mistakes it catches: each of these engines has one, and must fail."""

from __future__ import annotations

import pytest
from tests.testing.tables.mutants import MUTANTS, Mutant, failures

from soundstage.engines.tables.memory import MemoryTables


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.engine.__name__)
def test_the_suite_sees_that(mutant: Mutant) -> None:
    assert failures(mutant.engine, mutant.seen_by).failed, f"survived: {mutant.engine.__doc__}"


@pytest.mark.slow
def test_an_engine_without_a_mistake_passes() -> None:
    run = failures(MemoryTables, "Subject")
    assert run.failed == []
    assert run.ran > 60
