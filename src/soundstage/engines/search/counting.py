"""What may be counted over an index, and over how much of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.search import refusals
from soundstage.engines.search.port import (
    AGGREGATION_DEPTH_MAX,
    AGGREGATIONS_MAX,
    ALL_BUCKETS_MAX,
    BUCKETS_MAX,
    Kind,
)
from soundstage.engines.search.queries import (
    Aggregation,
    Buckets,
    Distinct,
    HistogramBuckets,
    Interval,
    NestedBucket,
    RangeBuckets,
    Result,
    Summary,
    TermBuckets,
)
from soundstage.engines.search.specs import NUMERIC, VALUED, Fields, field_of, is_field_name


def check_aggregations(fields: Fields, asked: Mapping[str, Aggregation]) -> None:
    """Raises `InvalidArgument` and `TooLarge` for what an index of these fields does not count."""
    if sum(1 for _ in _every(asked)) > AGGREGATIONS_MAX:
        raise refusals.too_many("aggregations in a request", AGGREGATIONS_MAX, "aggregations")
    if _most(asked) > ALL_BUCKETS_MAX:
        raise refusals.too_many("buckets in an answer", ALL_BUCKETS_MAX, "aggregations")
    _check_each(fields, asked, "aggregations", 1, inside=False)


def check_results(results: Mapping[str, Result]) -> None:
    """Raises `TooLarge` for an answer with more buckets than an answer has."""
    if _count(results) > ALL_BUCKETS_MAX:
        raise too_many_buckets(ALL_BUCKETS_MAX)


def too_many_buckets(most: int) -> TooLarge:
    """The refusal of a histogram that is too fine, or of an answer that is too long."""
    return TooLarge(f"more than {most} buckets", field="aggregations", hint="count in wider steps, or over less")


def _count(results: Mapping[str, Result]) -> int:
    return sum(
        1 + _count(bucket.within)
        for result in results.values()
        if isinstance(result, Buckets)
        for bucket in result.buckets
    )


def _most(asked: Mapping[str, Aggregation]) -> int:
    """The most buckets that can come of it, as far as they are bounded by what is asked."""
    return sum(_width(each) * (1 + _most(_within(each))) for each in asked.values())


def _width(each: Aggregation) -> int:
    match each:
        case TermBuckets():
            return each.limit
        case RangeBuckets():
            return len(each.ranges)
        case HistogramBuckets() | NestedBucket():
            return 1
        case _:
            return 0


def _within(each: Aggregation) -> dict[str, Aggregation]:
    return {} if isinstance(each, Summary | Distinct) else each.within


def _every(asked: Mapping[str, Aggregation]) -> Iterator[Aggregation]:
    for each in asked.values():
        yield each
        yield from _every(_within(each))


def _check_each(fields: Fields, asked: Mapping[str, Aggregation], place: str, depth: int, *, inside: bool) -> None:
    if asked and depth > AGGREGATION_DEPTH_MAX:
        raise refusals.too_many("aggregations within each other", AGGREGATION_DEPTH_MAX, place)
    for name, each in asked.items():
        here = f"{place}.{name}"
        if not is_field_name(name):
            raise InvalidArgument(f"{name!r} is no name for what is counted", field=here, hint="name it like a field")
        known, within = fields, inside
        if isinstance(each, NestedBucket):
            if inside:
                raise InvalidArgument("objects have no objects", field=here)
            field = field_of(fields, each.field, frozenset({Kind.NESTED}), "looked into", f"{here}.field")
            known, within = field.fields, True
        else:
            _check_one(fields, each, here)
        _check_each(known, _within(each), f"{here}.within", depth + 1, inside=within)


def _check_one(fields: Fields, each: Aggregation, place: str) -> None:
    valued = isinstance(each, TermBuckets | Distinct)
    field_of(fields, each.field, VALUED if valued else NUMERIC, "counted so", f"{place}.field")
    match each:
        case TermBuckets() if not 1 <= each.limit <= BUCKETS_MAX:
            raise InvalidArgument(f"1 to {BUCKETS_MAX} buckets, not {each.limit}", field=f"{place}.limit")
        case RangeBuckets():
            if not 1 <= len(each.ranges) <= BUCKETS_MAX:
                raise InvalidArgument(f"1 to {BUCKETS_MAX} ranges", field=f"{place}.ranges")
            for number, interval in enumerate(each.ranges):
                _check_interval(interval, f"{place}.ranges[{number}]")
        case HistogramBuckets() if not (math.isfinite(each.width) and each.width > 0):
            raise InvalidArgument("the width of a bucket is a number over 0", field=f"{place}.width")
        case _:
            pass


def _check_interval(interval: Interval, place: str) -> None:
    bounds = [bound for bound in (interval.start, interval.end) if bound is not None]
    if not bounds or not all(map(math.isfinite, bounds)) or bounds != sorted(bounds):
        raise InvalidArgument("a range has a start or an end, in that order", field=place)
