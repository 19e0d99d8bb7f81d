"""What is counted over the documents that match: by Tantivy, one level at a time.

Its own levels within levels cut off what is equal in any order, so each bucket that has something within is asked for
again, by the query that says what is in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from tantivy import Query as Asked
from tantivy import Searcher

from soundstage.core.errors import TooLarge
from soundstage.engines.search.counting import too_many_buckets
from soundstage.engines.search.port import BUCKETS_MAX, Kind
from soundstage.engines.search.queries import (
    Aggregation,
    Bucket,
    Buckets,
    Count,
    Distinct,
    HistogramBuckets,
    Interval,
    NestedBucket,
    Query,
    Range,
    RangeBuckets,
    Result,
    Scalar,
    Summary,
    Term,
    TermBuckets,
    Terms,
    Totals,
)
from soundstage.engines.search.tantivy.asking import Asking, both, counted
from soundstage.engines.search.tantivy.layout import column, keyword
from soundstage.engines.search.values import INTEGER_MAX, INTEGER_MIN

EXACT_MAX = 1_000
"""How many values that differ are counted one by one."""

TERMS_MAX = 60_000
"""How many values that differ Tantivy tells of at once."""

_ABOUT = "about "


class _Part(NamedTuple):
    """A bucket: how many documents, and the query that says which."""

    key: Scalar
    documents: int
    query: Query


class Counting:
    """Counts over one index, as one searcher sees it."""

    def __init__(self, searcher: Searcher, asking: Asking, kinds: Mapping[str, Kind]) -> None:
        self._searcher = searcher
        self._asking = asking
        self._kinds = kinds

    def results(self, query: Asked, asked: Mapping[str, Aggregation]) -> dict[str, Result]:
        """What comes of each. Raises `TooLarge` over 1,000 buckets of a histogram, or 60,000 values that differ."""
        requests = {name: request for each in asked.items() for name, request in _requests(*each)}
        # The driver's types do not say what is in them.
        aggregate: Callable[..., dict[str, Any]] = cast("Any", self._searcher).aggregate
        found = aggregate(query, requests) if requests else {}
        return {name: self._result(query, each, name, found) for name, each in asked.items()}

    def _result(self, query: Asked, asked: Aggregation, name: str, found: Mapping[str, Any]) -> Result:
        match asked:
            case Summary():
                said = found[name]
                count, least, greatest = int(said["count"]), said["min"], said["max"]
                return Totals(count=count, least=least, greatest=greatest, sum=said["sum"] if count else 0.0)
            case Distinct():
                several = len(found[name]["buckets"])
                return Count(several if several <= EXACT_MAX else round(found[_ABOUT + name]["value"]))
            case TermBuckets():
                parts = sorted(self._terms(asked.field, found[name]), key=lambda part: (-part.documents, part.key))
                others = sum(part.documents for part in parts[asked.limit :])
                return self._buckets(query, parts[: asked.limit], asked.within, others)
            case HistogramBuckets():
                if len(found[name]["buckets"]) > BUCKETS_MAX:
                    raise too_many_buckets(BUCKETS_MAX)
                return self._buckets(query, self._steps(asked, found[name]), asked.within)
            case RangeBuckets():
                return self._buckets(query, self._ranges(query, asked), asked.within)
            case NestedBucket():
                raise AssertionError("there are no objects here")

    def _buckets(
        self, query: Asked, parts: Iterable[_Part], within: Mapping[str, Aggregation], others: int = 0
    ) -> Buckets:
        def inside(part: _Part) -> dict[str, Result]:
            return self.results(both(query, self._asking.query(part.query)), within) if within else {}

        return Buckets(
            buckets=[Bucket(key=part.key, count=part.documents, within=inside(part)) for part in parts], others=others
        )

    def _terms(self, field: str, found: Mapping[str, Any]) -> Iterable[_Part]:
        if found["sum_other_doc_count"] or len(found["buckets"]) >= TERMS_MAX:
            raise TooLarge(
                f"{field!r} has more than {TERMS_MAX} values that differ",
                field="aggregations",
                hint="count over less, or on an engine that counts more",
            )
        for bucket in found["buckets"]:
            key = self._key(field, bucket["key"])
            yield _Part(key, bucket["doc_count"], Term(field, key))

    def _steps(self, asked: HistogramBuckets, found: Mapping[str, Any]) -> Iterable[_Part]:
        for bucket in found["buckets"]:
            step = round(bucket["key"] / asked.width)
            interval = Interval(_edge(step, asked.width), _edge(step + 1, asked.width))
            yield _Part(bucket["key"] + 0.0, bucket["doc_count"], self._within(asked.field, interval))

    def _ranges(self, query: Asked, asked: RangeBuckets) -> Iterable[_Part]:
        for number, interval in enumerate(asked.ranges):
            inside = self._within(asked.field, interval)
            yield _Part(number, counted(self._searcher, both(query, self._asking.query(inside))), inside)

    def _within(self, field: str, interval: Interval) -> Query:
        """The documents with a value in an interval of doubles."""
        start, end = interval.start, interval.end
        if self._kinds[field] is not Kind.DOUBLE:
            start, end = _whole(start), _whole(end)
        return Terms(field, []) if start == end else Range(field=field, at_least=start, below=end)

    def _key(self, field: str, found: Any) -> Scalar:
        match self._kinds[field]:
            case Kind.KEYWORD:
                return keyword(found)
            case Kind.BOOLEAN:
                return bool(found)
            case Kind.DOUBLE:
                return float(found)
            case _:
                return int(found)


def _requests(name: str, asked: Aggregation) -> Iterable[tuple[str, dict[str, Any]]]:
    """What Tantivy is asked for."""
    match asked:
        case TermBuckets():
            yield name, _terms(asked.field, TERMS_MAX)
        case HistogramBuckets():
            yield (
                name,
                {"histogram": {"field": column(asked.field), "interval": float(asked.width), "min_doc_count": 1}},
            )
        case Summary():
            yield name, {"stats": {"field": column(asked.field)}}
        case Distinct():
            yield name, _terms(asked.field, EXACT_MAX + 1)
            yield _ABOUT + name, {"cardinality": {"field": column(asked.field)}}
        case _:
            pass


def _terms(field: str, most: int) -> dict[str, Any]:
    return {"terms": {"field": column(field), "size": most, "segment_size": most}}


def _edge(step: int, width: float) -> float:
    """The least number that a histogram counts in this step or a later one, whatever the rounding of doubles does."""
    below, there = (step - 1) * width, (step + 1) * width
    while below < (between := below / 2 + there / 2) < there:
        if math.floor(between / width) < step:
            below = between
        else:
            there = between
    return there


def _whole(bound: float | None) -> int | None:
    """The least integer that is not below a bound, of those that fields have or the next one."""
    return None if bound is None else min(max(math.ceil(bound), INTEGER_MIN), INTEGER_MAX)
