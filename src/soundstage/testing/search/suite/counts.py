"""What is counted over all that matches."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge
from soundstage.engines.search.port import BUCKETS_MAX, Put, Request, Search
from soundstage.engines.search.queries import (
    Aggregation,
    Bucket,
    Buckets,
    Count,
    Distinct,
    HistogramBuckets,
    Interval,
    Query,
    RangeBuckets,
    Result,
    Summary,
    Term,
    TermBuckets,
    Totals,
)
from soundstage.testing.search.bench import all_pages
from soundstage.testing.search.films import DAY_US, NAME, show

CRIME = Term("genres", "crime")
TWO_PARTS = [Interval(end=1960), Interval(1950, 1996), Interval(1996)]

WRONG: dict[str, tuple[Aggregation, type[SoundstageError]]] = {
    "a field that is not there": (TermBuckets(field="yaer"), InvalidArgument),
    "a text": (TermBuckets(field="title"), InvalidArgument),
    "words that differ": (Distinct("title"), InvalidArgument),
    "the sum of keywords": (Summary("code"), InvalidArgument),
    "the sum of booleans": (Summary("colour"), InvalidArgument),
    "keywords in steps": (HistogramBuckets(field="code", width=1), InvalidArgument),
    "keywords between numbers": (RangeBuckets(field="code", ranges=TWO_PARTS), InvalidArgument),
    "no buckets": (TermBuckets(field="code", limit=0), InvalidArgument),
    "too many buckets": (TermBuckets(field="code", limit=BUCKETS_MAX + 1), InvalidArgument),
    "no ranges": (RangeBuckets(field="year", ranges=[]), InvalidArgument),
    "a range of everything": (RangeBuckets(field="year", ranges=[Interval()]), InvalidArgument),
    "a range backwards": (RangeBuckets(field="year", ranges=[Interval(2, 1)]), InvalidArgument),
    "steps of nothing": (HistogramBuckets(field="year", width=0), InvalidArgument),
    "steps backwards": (HistogramBuckets(field="year", width=-1), InvalidArgument),
    "steps without an end": (HistogramBuckets(field="year", width=float("inf")), InvalidArgument),
    "a name that is none": (TermBuckets(field="code", within={"A b": Summary("year")}), InvalidArgument),
    "too many within each other": (
        TermBuckets(field="code", limit=200, within={"a": TermBuckets(field="genres", limit=100)}),
        TooLarge,
    ),
    "too deep": (
        TermBuckets(
            field="code",
            limit=1,
            within={
                "a": TermBuckets(
                    field="code",
                    limit=1,
                    within={"a": TermBuckets(field="code", limit=1, within={"a": Summary("year")})},
                )
            },
        ),
        TooLarge,
    ),
}


async def counted(search: Search, aggregation: Aggregation, query: Query | None = None) -> Result:
    """What comes of it over the films."""
    await show(search)
    request = Request(limit=0, aggregations={"it": aggregation})
    if query is not None:
        request = Request(query=query, limit=0, aggregations={"it": aggregation})
    return (await search.search(NAME, request)).aggregations["it"]


def buckets(*each: tuple[str | int | float | bool, int], others: int = 0) -> Buckets:
    """Buckets of nothing but keys and counts."""
    return Buckets(buckets=[Bucket(key=key, count=count) for key, count in each], others=others)


class Counts:
    async def test_keywords_come_by_how_often_then_by_themselves(self, search: Search) -> None:
        assert await counted(search, TermBuckets(field="genres")) == buckets(
            ("crime", 2), ("drama", 2), ("war", 2), ("comedy", 1), ("romance", 1)
        )

    async def test_the_rest_is_counted_together(self, search: Search) -> None:
        assert await counted(search, TermBuckets(field="genres", limit=2)) == buckets(
            ("crime", 2), ("drama", 2), others=4
        )

    async def test_integers_doubles_and_booleans_have_buckets(self, search: Search) -> None:
        assert await counted(search, TermBuckets(field="prizes")) == buckets((1, 1), (2, 1), (4, 1))
        assert await counted(search, TermBuckets(field="rating", limit=2)) == buckets((8.3, 2), (-1.5, 1), others=3)
        found = await counted(search, TermBuckets(field="colour"))
        assert found == buckets((True, 3), (False, 2))
        assert isinstance(found, Buckets)
        assert [type(bucket.key) for bucket in found.buckets] == [bool, bool]

    async def test_only_what_matches_is_counted(self, search: Search) -> None:
        assert await counted(search, TermBuckets(field="genres"), CRIME) == buckets(("crime", 2), ("drama", 1))
        assert await counted(search, TermBuckets(field="genres"), Term("code", "XX")) == buckets()

    async def test_ranges_may_overlap_and_be_empty(self, search: Search) -> None:
        ranges = [*TWO_PARTS, Interval(3_000, 4_000)]
        assert await counted(search, RangeBuckets(field="year", ranges=ranges)) == buckets(
            (0, 2), (1, 3), (2, 2), (3, 0)
        )
        instants = [Interval(end=0), Interval(0, 2 * DAY_US + 7), Interval(2 * DAY_US + 7)]
        assert await counted(search, RangeBuckets(field="added", ranges=instants)) == buckets((0, 1), (1, 1), (2, 2))

    async def test_a_histogram_has_the_steps_that_hold_something(self, search: Search) -> None:
        assert await counted(search, HistogramBuckets(field="year", width=50)) == buckets(
            (1850.0, 1), (1950.0, 4), (2000.0, 1)
        )
        assert await counted(search, HistogramBuckets(field="rating", width=0.5)) == buckets(
            (-1.5, 1), (0.0, 1), (7.0, 1), (8.0, 2), (8.5, 1)
        )
        assert await counted(search, HistogramBuckets(field="added", width=DAY_US)) == buckets(
            (-5.0 * DAY_US, 1), (0.0, 1), (2.0 * DAY_US, 1), (3.0 * DAY_US, 1)
        )

    async def test_a_document_counts_once_in_a_step(self, search: Search) -> None:
        assert await counted(search, HistogramBuckets(field="prizes", width=10)) == buckets((0.0, 2))
        assert await counted(search, RangeBuckets(field="prizes", ranges=[Interval(0, 10)])) == buckets((0, 2))

    async def test_numbers_are_summed_up(self, search: Search) -> None:
        found = await counted(search, Summary("year"))
        assert found == Totals(count=6, least=1896.0, greatest=2001.0, sum=11808.0)
        assert isinstance(found, Totals)
        assert found.average == 1968.0
        assert await counted(search, Summary("prizes")) == Totals(count=3, least=1.0, greatest=4.0, sum=7.0)

    async def test_the_sum_of_nothing_is_nothing(self, search: Search) -> None:
        found = await counted(search, Summary("prizes"), Term("code", "US-1998"))
        assert found == Totals(count=0)
        assert isinstance(found, Totals)
        assert found.average is None

    async def test_values_that_differ_are_counted(self, search: Search) -> None:
        fields = ("genres", "year", "rating", "colour", "prizes", "added")
        assert [await counted(search, Distinct(field)) for field in fields] == list(map(Count, (5, 6, 5, 2, 3, 4)))
        assert await counted(search, Distinct("genres"), Term("code", "FR-1896")) == Count(0)

    async def test_buckets_hold_what_was_asked_for_within_them(self, search: Search) -> None:
        found = await counted(
            search,
            TermBuckets(
                field="colour",
                within={
                    "years": Summary("year"),
                    "genres": TermBuckets(field="genres", limit=1, within={"codes": Distinct("code")}),
                    "decades": HistogramBuckets(field="year", width=10),
                },
            ),
        )
        assert found == Buckets(
            buckets=[
                Bucket(
                    key=True,
                    count=3,
                    within={
                        "years": Totals(count=3, least=1995.0, greatest=2001.0, sum=5994.0),
                        "genres": Buckets(buckets=[Bucket(key="crime", count=2, within={"codes": Count(2)})], others=3),
                        "decades": buckets((1990.0, 2), (2000.0, 1)),
                    },
                ),
                Bucket(
                    key=False,
                    count=2,
                    within={
                        "years": Totals(count=2, least=1954.0, greatest=1964.0, sum=3918.0),
                        "genres": Buckets(buckets=[Bucket(key="war", count=2, within={"codes": Count(2)})], others=1),
                        "decades": buckets((1950.0, 1), (1960.0, 1)),
                    },
                ),
            ]
        )

    async def test_what_is_counted_is_the_same_on_every_page(self, search: Search) -> None:
        await show(search)
        aggregations: dict[str, Aggregation] = {"years": Summary("year"), "genres": TermBuckets(field="genres")}
        pages = await all_pages(search, NAME, Request(limit=3, aggregations=aggregations))
        assert len(pages) == 3
        assert all(page.aggregations == pages[0].aggregations for page in pages)

    async def test_what_no_answer_holds_is_refused(self, search: Search, plain: str) -> None:
        await search.bulk(plain, [Put(f"{n}", {"year": n}) for n in range(BUCKETS_MAX + 1)])
        await search.refresh(plain)
        fine = Request(limit=0, aggregations={"it": HistogramBuckets(field="year", width=2)})
        assert (await search.search(plain, fine)).total == BUCKETS_MAX + 1
        with pytest.raises(TooLarge):
            await search.search(plain, Request(limit=0, aggregations={"it": HistogramBuckets(field="year", width=1)}))

    async def test_many_values_that_differ_are_counted(self, search: Search, plain: str) -> None:
        await search.bulk(plain, [Put(f"{n}", {"year": n, "code": f"c{n % 900}"}) for n in range(1_000)])
        await search.refresh(plain)
        request = Request(limit=0, aggregations={"years": Distinct("year"), "codes": Distinct("code")})
        assert (await search.search(plain, request)).aggregations == {"years": Count(1_000), "codes": Count(900)}

    @pytest.mark.parametrize("case", WRONG)
    async def test_counts_that_make_no_sense_are_refused(self, search: Search, case: str) -> None:
        aggregation, error = WRONG[case]
        with pytest.raises(error) as refusal:
            await counted(search, aggregation)
        assert str(refusal.value.field).startswith("aggregations")
