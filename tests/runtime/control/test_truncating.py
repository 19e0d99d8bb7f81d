"""Namespaces that are marked as truncated."""

from __future__ import annotations

import pytest
from tests.runtime.control.test_changes import namespaces, spec

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import NotFound, Unavailable
from soundstage.engines.records.port import Stamp
from soundstage.runtime.admission import Admission
from soundstage.runtime.config import AdmissionConfig
from soundstage.runtime.control.truncating import NamespaceTruncations
from soundstage.runtime.control.vacancy import Vacancy
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

__all__ = ["namespaces"]


def truncations_of(stage: Stage, others_s: float = 0.0) -> NamespaceTruncations:
    vacancy = Vacancy(Admission(AdmissionConfig(), stage.environment), stage.environment, others_s)
    return NamespaceTruncations(stage.namespaces, vacancy, stage.environment)


async def test_a_truncation_is_part_of_the_history_and_of_the_view(stage: Stage, namespaces: Namespaces) -> None:
    made = await namespaces.put(namespace=spec())
    at = Stamp(5, "t")
    await truncations_of(stage).truncate("x", made.generation, at, "ada")
    change = (await namespaces.history(name="x")).changes[0]
    assert (change.action, change.by, change.version) == ("truncated", "ada", 2)
    assert stage.namespaces.applied.registry.of("notes").view("x").truncated == at


async def test_an_earlier_truncation_after_a_later_one_is_none(stage: Stage, namespaces: Namespaces) -> None:
    made = await namespaces.put(namespace=spec())
    for at in (Stamp(5, "t"), Stamp(4, "u"), Stamp(5, "t")):
        await truncations_of(stage).truncate("x", made.generation, at, "ada")
    assert (await namespaces.get(name="x")).version == 2


async def test_a_truncation_outlives_a_change_of_the_namespace(stage: Stage, namespaces: Namespaces) -> None:
    made = await namespaces.put(namespace=spec())
    await truncations_of(stage).truncate("x", made.generation, Stamp(5, "t"), "ada")
    await namespaces.put(namespace=spec(config={"greeting": "hi "}))
    views = stage.namespaces.applied.registry.of("notes")
    assert views.view("x").truncated == Stamp(5, "t")
    await truncations_of(stage).forget_truncation("x", made.generation, Stamp(5, "t"))
    assert views.view("x").truncated is None
    assert "x" in [each.name for each in views.all()]


async def test_only_a_namespace_of_that_generation_is_truncated(stage: Stage, namespaces: Namespaces) -> None:
    made = await namespaces.put(namespace=spec())
    for name, generation in (("x", made.generation + 1), ("y", made.generation)):
        with pytest.raises(NotFound):
            await truncations_of(stage).truncate(name, generation, Stamp(5, "t"), "ada")


async def test_it_answers_once_other_processes_must_have_followed(
    stage: Stage, namespaces: Namespaces, environment: VirtualEnvironment
) -> None:
    made = await namespaces.put(namespace=spec())
    before_ns = environment.monotonic_ns()
    await truncations_of(stage, 2.5).truncate("x", made.generation, Stamp(5, "t"), "ada")
    assert environment.monotonic_ns() - before_ns >= 2.5e9


async def test_one_that_is_deleted_meanwhile_is_not_known(stage: Stage, namespaces: Namespaces) -> None:
    made = await namespaces.put(namespace=spec())
    await namespaces.delete(name="x")
    with pytest.raises((NotFound, Unavailable)):
        await truncations_of(stage).forget_truncation("x", made.generation, Stamp(5, "t"))
