"""What is given to `bulk` is checked whole."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.search.documents import Prepared, check_ids, chosen, fitting, prepare, prevented
from soundstage.engines.search.port import (
    BULK_MAX_ACTIONS,
    DOCUMENT_MAX_BYTES,
    GET_MAX_IDS,
    PAGE_MAX_BYTES,
    Absent,
    Delete,
    Field,
    IndexSpec,
    Kind,
    Outcome,
    Put,
    Status,
    Unchanged,
)

SPEC = IndexSpec(name="films", fields={"title": Field(kind=Kind.TEXT), "rating": Field(kind=Kind.DOUBLE)})


def test_actions_are_prepared_in_their_order() -> None:
    actions = [Put("1", {"rating": 8}, Absent()), Delete("2"), Delete("3", Unchanged("r"))]
    assert prepare(SPEC, actions) == [
        Prepared("1", Absent(), {"rating": 8.0}, b'{"rating":8.0}'),
        Prepared("2", None),
        Prepared("3", Unchanged("r")),
    ]


def test_a_refusal_names_the_action() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        prepare(SPEC, [Delete("1"), Put("2", {"rating": "good"})])
    assert refusal.value.field == "actions[1].fields.rating"


def test_a_document_has_so_many_bytes_and_no_more() -> None:
    room = DOCUMENT_MAX_BYTES - len(b'{"title":""}')
    prepare(SPEC, [Put("1", {"title": "t" * room})])
    with pytest.raises(TooLarge):
        prepare(SPEC, [Put("1", {"title": "t" * (room + 1)})])


def test_bytes_are_those_of_the_text_not_its_characters() -> None:
    with pytest.raises(TooLarge):
        prepare(SPEC, [Put("1", {"title": "侍" * (DOCUMENT_MAX_BYTES // 3)})])


def test_a_call_has_so_many_actions_and_no_more() -> None:
    assert len(prepare(SPEC, [Delete("1")] * BULK_MAX_ACTIONS)) == BULK_MAX_ACTIONS
    with pytest.raises(TooLarge):
        prepare(SPEC, [Delete("1")] * (BULK_MAX_ACTIONS + 1))


def test_a_call_has_so_many_bytes_and_no_more() -> None:
    large = Put("1", {"title": "t" * (DOCUMENT_MAX_BYTES - 100)})
    prepare(SPEC, [large] * 15)
    with pytest.raises(TooLarge):
        prepare(SPEC, [large] * 17)


def test_ids_are_checked_with_their_place() -> None:
    check_ids(["a"] * GET_MAX_IDS)
    with pytest.raises(TooLarge):
        check_ids(["a"] * (GET_MAX_IDS + 1))
    with pytest.raises(InvalidArgument) as refusal:
        check_ids(["a", ""])
    assert refusal.value.field == "ids[1]"


def test_the_fields_that_were_asked_for_are_chosen() -> None:
    body = b'{"title":"Heat","rating":8.0}'
    assert chosen(body, None) == {"title": "Heat", "rating": 8.0}
    assert chosen(body, ["rating", "year"]) == {"rating": 8.0}
    assert chosen(body, []) == {}


CONFLICT, MISSING = Outcome(Status.CONFLICT), Outcome(Status.MISSING)


@pytest.mark.parametrize(
    ("action", "revision", "expected"),
    [
        (Put("1", {}), None, None),
        (Put("1", {}), "4", None),
        (Put("1", {}, Absent()), None, None),
        (Put("1", {}, Absent()), "4", CONFLICT),
        (Put("1", {}, Unchanged("4")), "4", None),
        (Put("1", {}, Unchanged("4")), "5", CONFLICT),
        (Put("1", {}, Unchanged("None")), None, CONFLICT),
        (Delete("1"), "4", None),
        (Delete("1"), None, MISSING),
        (Delete("1", Unchanged("4")), "4", None),
        (Delete("1", Unchanged("4")), "5", CONFLICT),
        (Delete("1", Unchanged("4")), None, CONFLICT),
    ],
)
def test_an_action_is_made_where_its_condition_holds(
    action: Put | Delete, revision: str | None, expected: Outcome | None
) -> None:
    (prepared,) = prepare(SPEC, [action])
    assert prevented(prepared, revision) == expected


def test_a_page_has_so_many_bytes() -> None:
    third = "t" * (PAGE_MAX_BYTES // 3)
    assert len(fitting([third] * 5, len)) == 3
    assert fitting([f"{third}t"] * 5, len) == [f"{third}t"] * 2
    assert fitting([third], len) == [third]
