"""The suite is only as good as the mistakes it catches: each of these engines has one, and must fail."""

from __future__ import annotations

import pytest
from tests.testing.log.mistakes import GROUPS, MEMORY, MISTAKES, ROCKS, ROCKSDB
from tests.testing.log.mutants import Examined
from tests.testing.records.mutants import Mutant

PARTS = sorted({mutant.part for mutant in MISTAKES + GROUPS})
RIGHT = tuple(Mutant(f"no mistake in {part}", part, []) for part in PARTS)


@pytest.fixture(scope="module")
def in_memory() -> Examined:
    return Examined(MEMORY, MISTAKES + GROUPS + RIGHT)


@pytest.fixture(scope="module")
def on_disk() -> Examined:
    return Examined(ROCKSDB, ROCKS)


def name_of(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MISTAKES + GROUPS, ids=name_of)
def test_the_suite_sees_that(in_memory: Examined, mutant: Mutant) -> None:
    assert in_memory.seen[mutant.name], f"survived: {mutant.name}"


@pytest.mark.slow
@pytest.mark.parametrize("mutant", ROCKS, ids=name_of)
def test_the_suite_sees_that_the_embedded_engine_errs(on_disk: Examined, mutant: Mutant) -> None:
    assert on_disk.seen[mutant.name], f"survived: {mutant.name}"


@pytest.mark.slow
@pytest.mark.parametrize("right", RIGHT, ids=name_of)
def test_an_engine_without_a_mistake_passes(in_memory: Examined, right: Mutant) -> None:
    assert in_memory.seen[right.name] == []


def test_no_two_mistakes_have_one_name() -> None:
    for mistakes in (MISTAKES + GROUPS, ROCKS):
        assert len({mutant.name for mutant in mistakes}) == len(mistakes)
