"""Small things that messages say of themselves, and that all of them travel."""

from __future__ import annotations

import msgspec
import pytest

from soundstage.engines.search.port import Action, Delete, Page, Put, Request, Unchanged
from soundstage.engines.search.queries import All, Bool, Nested, Sort, Summary, Term, TermBuckets, Totals


@pytest.mark.parametrize(
    ("query", "least"),
    [
        (Bool(), 0),
        (Bool(should=[All()]), 1),
        (Bool(should=[All()], must=[All()]), 0),
        (Bool(should=[All()], filter=[All()]), 0),
        (Bool(should=[All()], must_not=[All()]), 1),
        (Bool(should=[All(), All()], should_min=2), 2),
        (Bool(should=[All()], should_min=0), 0),
    ],
)
def test_how_many_of_should_have_to_match(query: Bool, least: int) -> None:
    assert query.least == least


def test_the_mean_is_that_of_the_values() -> None:
    assert Totals(count=4, least=1.0, greatest=4.0, sum=10.0).average == 2.5
    assert Totals(count=0).average is None


def test_requests_and_actions_can_be_sent() -> None:
    request = Request(
        query=Bool(must=[Nested("cast", Term("billing", 1))]),
        sort=[Sort("year")],
        aggregations={"codes": TermBuckets(field="code", within={"years": Summary("year")})},
    )
    sent = msgspec.msgpack.encode(request)
    assert msgspec.msgpack.encode(msgspec.msgpack.decode(sent, type=Request)) == sent
    actions: list[Action] = [Put("1", {"year": 1}), Delete("2", Unchanged("r"))]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(actions), type=list[Action]) == actions
    page = Page(hits=[], total=1, aggregations={"years": Totals(count=0)})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(page), type=Page) == page
