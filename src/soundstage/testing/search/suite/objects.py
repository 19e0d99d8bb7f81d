"""Objects within documents: what is asked of one of them, and counted over all."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.search.port import Request, Search, SearchCapability
from soundstage.engines.search.queries import (
    All,
    Bool,
    Bucket,
    Buckets,
    Exists,
    Match,
    Nested,
    NestedBucket,
    Phrase,
    Prefix,
    Query,
    Range,
    Summary,
    Term,
    TermBuckets,
    Totals,
)
from soundstage.testing.records.requirements import requires
from soundstage.testing.search.bench import found
from soundstage.testing.search.films import NAME, OBJECTS, show

DE_NIRO = Term("actor", "De Niro")

QUESTIONS: dict[str, tuple[Query, set[str]]] = {
    "any object": (Nested("cast", All()), {"heat", "ronin", "samurai"}),
    "there are objects": (Exists("cast"), {"heat", "ronin", "samurai"}),
    "a keyword of one": (Nested("cast", DE_NIRO), {"heat", "ronin"}),
    "two things of one": (Nested("cast", Bool(must=[DE_NIRO, Term("billing", 1)])), {"ronin"}),
    "two things of any": (
        Bool(must=[Nested("cast", DE_NIRO), Nested("cast", Term("billing", 1))]),
        {"heat", "ronin"},
    ),
    "a word of one": (Nested("cast", Match("role", "VINCENT")), {"heat", "ronin"}),
    "words of one next to each other": (Nested("cast", Phrase("role", "vincent hanna")), {"heat"}),
    "words of several": (Nested("cast", Match("role", "detective thief")), set()),
    "the beginning of a word of one": (Nested("cast", Prefix("role", "mccaul")), {"heat"}),
    "the beginning of one": (Nested("cast", Prefix("actor", "Mif")), {"samurai"}),
    "within bounds": (Nested("cast", Range(field="billing", above=1)), {"heat", "samurai"}),
    "one that has not": (
        Nested("cast", Bool(must_not=[Exists("billing")])),
        {"ronin", "samurai"},
    ),
    "none that has": (
        Bool(must=[Exists("cast")], must_not=[Nested("cast", DE_NIRO)]),
        {"samurai"},
    ),
    "beside the document": (Bool(must=[Nested("cast", DE_NIRO), Term("year", 1995)]), {"heat"}),
}

WRONG: dict[str, Query] = {
    "a field of objects without them": Term("actor", "De Niro"),
    "a field of documents within them": Nested("cast", Term("year", 1995)),
    "objects of what has none": Nested("year", All()),
    "objects in objects": Nested("cast", Nested("cast", All())),
    "objects as a value": Term("cast", "x"),
}


class Objects:
    @requires(SearchCapability.NESTED)
    @pytest.mark.parametrize("case", QUESTIONS)
    async def test_a_query_of_objects_finds(self, search: Search, case: str) -> None:
        query, expected = QUESTIONS[case]
        assert await found(search, query) == expected

    @requires(SearchCapability.NESTED)
    @pytest.mark.parametrize("case", WRONG)
    async def test_objects_that_make_no_sense_are_refused(self, search: Search, case: str) -> None:
        await show(search)
        with pytest.raises(InvalidArgument):
            await search.search(NAME, Request(query=WRONG[case]))

    @requires(SearchCapability.NESTED)
    async def test_objects_come_back_as_they_were(self, search: Search) -> None:
        await show(search)
        documents = await search.get(NAME, list(OBJECTS))
        assert [each and each.fields["cast"] for each in documents] == [each["cast"] for each in OBJECTS.values()]

    @requires(SearchCapability.NESTED)
    async def test_objects_are_counted_by_themselves(self, search: Search) -> None:
        await show(search)
        within = {"actors": TermBuckets(field="actor", limit=1), "billings": Summary("billing")}
        aggregation = NestedBucket(field="cast", within=dict(within))
        page = await search.search(NAME, Request(limit=0, aggregations={"cast": aggregation}))
        assert page.aggregations["cast"] == Buckets(
            buckets=[
                Bucket(
                    key=0,
                    count=6,
                    within={
                        "actors": Buckets(buckets=[Bucket(key="De Niro", count=2)], others=3),
                        "billings": Totals(count=4, least=1.0, greatest=2.0, sum=6.0),
                    },
                )
            ]
        )

    @requires(SearchCapability.NESTED)
    async def test_objects_are_counted_within_buckets_of_documents(self, search: Search) -> None:
        await show(search)
        aggregation = TermBuckets(field="genres", limit=1, within={"cast": NestedBucket(field="cast")})
        page = await search.search(NAME, Request(limit=0, aggregations={"genres": aggregation}))
        assert page.aggregations["genres"] == Buckets(
            buckets=[
                Bucket(key="crime", count=2, within={"cast": Buckets(buckets=[Bucket(key=0, count=4)])}),
            ],
            others=6,
        )
