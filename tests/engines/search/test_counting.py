"""What may be counted, and how many buckets come of it."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge
from soundstage.engines.search.counting import check_aggregations, check_results
from soundstage.engines.search.port import AGGREGATIONS_MAX, ALL_BUCKETS_MAX, Field, Kind
from soundstage.engines.search.queries import (
    Aggregation,
    Bucket,
    Buckets,
    Count,
    HistogramBuckets,
    Interval,
    NestedBucket,
    RangeBuckets,
    Summary,
    TermBuckets,
)

FIELDS = {
    "code": Field(kind=Kind.KEYWORD),
    "year": Field(kind=Kind.INTEGER),
    "cast": Field(kind=Kind.NESTED, fields={"billing": Field(kind=Kind.INTEGER)}),
}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"a": Summary("year")},
        {"a": NestedBucket(field="cast", within={"b": Summary("billing")})},
        {"a": TermBuckets(field="code", limit=99, within={"b": TermBuckets(field="year", limit=99)})},
        {"a": RangeBuckets(field="year", ranges=[Interval(1, 1)])},
    ],
)
def test_what_may_be_counted(asked: dict[str, Aggregation]) -> None:
    check_aggregations(FIELDS, asked)


@pytest.mark.parametrize(
    ("asked", "error", "place"),
    [
        ({"A": Summary("year")}, InvalidArgument, "aggregations.A"),
        ({"a": Summary("code")}, InvalidArgument, "aggregations.a.field"),
        (
            {"a": TermBuckets(field="code", within={"b": Summary("x")})},
            InvalidArgument,
            "aggregations.a.within.b.field",
        ),
        ({"a": NestedBucket(field="year")}, InvalidArgument, "aggregations.a.field"),
        (
            {"a": NestedBucket(field="cast", within={"b": Summary("year")})},
            InvalidArgument,
            "aggregations.a.within.b.field",
        ),
        (
            {"a": NestedBucket(field="cast", within={"b": NestedBucket(field="cast")})},
            InvalidArgument,
            "aggregations.a.within.b",
        ),
        (
            {"a": RangeBuckets(field="year", ranges=[Interval(1), Interval()])},
            InvalidArgument,
            "aggregations.a.ranges[1]",
        ),
        ({"a": HistogramBuckets(field="year", width=float("nan"))}, InvalidArgument, "aggregations.a.width"),
        ({f"a{n}": Summary("year") for n in range(AGGREGATIONS_MAX + 1)}, TooLarge, "aggregations"),
        (
            {"a": TermBuckets(field="code", limit=100, within={"b": TermBuckets(field="year", limit=100)})},
            TooLarge,
            "aggregations",
        ),
    ],
)
def test_what_may_not_be_counted_is_refused_with_its_place(
    asked: dict[str, Aggregation], error: type[SoundstageError], place: str
) -> None:
    with pytest.raises(error) as refusal:
        check_aggregations(FIELDS, asked)
    assert refusal.value.field == place


def test_buckets_within_buckets_count() -> None:
    inner = Buckets(buckets=[Bucket(key=n, count=1) for n in range(99)])
    outer = Buckets(buckets=[Bucket(key=n, count=1, within={"b": inner, "c": Count(1)}) for n in range(100)])
    assert ALL_BUCKETS_MAX == 100 * 100
    check_results({"a": outer})
    with pytest.raises(TooLarge):
        check_results({"a": outer, "d": Buckets(buckets=[Bucket(key=0, count=1)])})
