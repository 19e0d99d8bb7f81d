"""Refusals say what to do."""

from __future__ import annotations

import pytest

from soundstage.core.errors import SoundstageError
from soundstage.engines.search import refusals
from soundstage.engines.search.port import Field, IndexSpec, Kind, SearchCapability

EVERY = {
    "stopped": refusals.stopped(),
    "deadline": refusals.deadline_passed(),
    "no index": refusals.no_index("films"),
    "no field": refusals.no_field("tilte", ["title"], "query.field"),
    "no field at all": refusals.no_field("title", [], "query.field"),
    "lacks": refusals.lacks(SearchCapability.NESTED, "fields.cast"),
    "other fields": refusals.other_fields(IndexSpec(name="films", fields={"a": Field(kind=Kind.TEXT)})),
    "name taken": refusals.name_taken("films", "an alias"),
    "alias": refusals.is_alias("films"),
    "too many": refusals.too_many("ids in a call", 100, "ids"),
    "wrong token": refusals.wrong_token(),
}


@pytest.mark.parametrize("case", EVERY)
def test_every_refusal_has_a_hint(case: str) -> None:
    error: SoundstageError = EVERY[case]
    assert error.hint
    assert str(error)


def test_what_did_not_happen_says_so() -> None:
    assert (refusals.stopped().outcome, refusals.deadline_passed().outcome) == ("not_applied", "not_applied")


def test_the_nearest_field_is_named() -> None:
    assert refusals.no_field("tilte", ["title", "year"], "f").hint == "did you mean 'title'?"
    assert refusals.no_field("zzz", ["title", "year"], "f").hint == "its fields are title, year"
