"""The suite is only as good as the mistakes it catches: each of these engines has one, and must fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.testing.log.mistakes import GROUPS, LOG, MEMORY, MISTAKES, ROCKS, ROCKSDB
from tests.testing.records.mutants import Mutant, failures

SUBJECT = Path(__file__).with_name("subject.py")

SHARED = (f"{LOG}.port", f"{LOG}.refusals")
"""Modules whose types cross between engine and suite; they are never loaded twice."""


def is_engine(name: str) -> bool:
    return name.startswith(f"{LOG}.") and name not in SHARED


def name_of(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MISTAKES + GROUPS, ids=name_of)
def test_the_suite_sees_that(mutant: Mutant) -> None:
    seen = failures(MEMORY, mutant.part, mutant.changes, subject=SUBJECT, is_engine=is_engine)
    assert seen, f"survived: {mutant.name}"


@pytest.mark.slow
@pytest.mark.parametrize("mutant", ROCKS, ids=name_of)
def test_the_suite_sees_that_the_embedded_engine_errs(mutant: Mutant) -> None:
    seen = failures(ROCKSDB, mutant.part, mutant.changes, subject=SUBJECT, is_engine=is_engine)
    assert seen, f"survived: {mutant.name}"


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted({mutant.part for mutant in MISTAKES + GROUPS}))
def test_an_engine_without_a_mistake_passes(part: str) -> None:
    assert failures(MEMORY, part, [], subject=SUBJECT, is_engine=is_engine) == []
