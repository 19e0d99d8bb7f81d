"""The suite is only as good as the mistakes it catches: each of these engines has one, and must fail."""

from __future__ import annotations

import pytest
from tests.testing.records.mistakes import CONDITIONAL, PORT, PURGE, RARE, ROCKS, RULE
from tests.testing.records.mutants import MEMORY, ROCKSDB, VERSION, Change, Mutant, differs, failures, load

from soundstage.engines.records import memory


def name_of(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.slow
@pytest.mark.parametrize("mutant", RULE + PURGE + CONDITIONAL + PORT, ids=name_of)
def test_the_suite_sees_that(mutant: Mutant) -> None:
    assert failures(MEMORY, mutant.part, mutant.changes), f"survived: {mutant.name}"


@pytest.mark.slow
@pytest.mark.parametrize("mutant", ROCKS, ids=name_of)
def test_the_suite_sees_that_the_embedded_engine_errs(mutant: Mutant) -> None:
    assert failures(ROCKSDB, mutant.part, mutant.changes, mutant.durability), f"survived: {mutant.name}"


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [each for each in RULE + CONDITIONAL if each.name not in RARE], ids=name_of)
def test_random_histories_see_that(mutant: Mutant) -> None:
    assert differs(mutant.changes, conditional=mutant in CONDITIONAL), f"survived: {mutant.name}"


@pytest.mark.slow
def test_an_engine_without_a_mistake_passes() -> None:
    assert failures(MEMORY, "expiry", []) == []


def test_a_mutant_is_another_engine_and_the_real_one_stays() -> None:
    mutated = load(MEMORY, [Change(VERSION, "now_us < expires", "now_us <= expires")])
    assert mutated.version.is_live(mutated.version.put(1, "t", b"", 5), 5)
    assert not memory.version.is_live(memory.version.put(1, "t", b"", 5), 5)
    assert mutated.MemoryRecords is not memory.MemoryRecords


def test_a_change_of_text_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 times"):
        load(MEMORY, [Change(VERSION, "no such text", "")])
