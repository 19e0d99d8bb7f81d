"""Our queries and aggregations in OpenSearch's words, and what came of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soundstage.core.errors import Internal
from soundstage.engines.search.analysis import words
from soundstage.engines.search.counting import too_many_buckets
from soundstage.engines.search.opensearch.mapping import WORDS
from soundstage.engines.search.port import BUCKETS_MAX, Field, Kind
from soundstage.engines.search.queries import (
    Aggregation,
    All,
    Bool,
    Bucket,
    Buckets,
    Count,
    Distinct,
    Exists,
    HistogramBuckets,
    Match,
    Nested,
    NestedBucket,
    Phrase,
    Prefix,
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

NONE: dict[str, Any] = {"match_none": {}}
ALL: dict[str, Any] = {"match_all": {}}
EXACT_MAX = 3_000
"""Up to so many values that differ are counted nearly one by one."""


class Asking:
    """Translates for the documents of one index, or the objects at `path` of a nested field."""

    def __init__(self, fields: Mapping[str, Field], path: str = "") -> None:
        self._fields = fields
        self._path = path

    def query(self, query: Query) -> dict[str, Any]:
        """A query that was checked."""
        match query:
            case All():
                return ALL
            case Bool():
                return self._bool(query)
            case Nested():
                inner = Asking(self._fields[query.field].fields, f"{query.field}.")
                return {"nested": {"path": query.field, "query": inner.query(query.query)}}
            case Match():
                found = " ".join(dict.fromkeys(words(query.text)))
                asked = {"query": found, "operator": "and" if query.every else "or"}
                return {"match": {self._words(query.field): asked}} if found else NONE
            case Phrase():
                found = " ".join(words(query.text))
                return {"match_phrase": {self._words(query.field): found}} if found else NONE
            case _:
                return self._valued(query)

    def aggregations(self, asked: Mapping[str, Aggregation]) -> dict[str, Any]:
        """What was checked."""
        return {name: self._aggregation(each) for name, each in asked.items()}

    def results(self, asked: Mapping[str, Aggregation], found: Mapping[str, Any]) -> dict[str, Result]:
        """What came of it. Raises `TooLarge` for a histogram of more than 1,000 buckets."""
        return {name: self._result(each, found[name]) for name, each in asked.items()}

    def name(self, field: str) -> str:
        """What a field is called there."""
        return f"{self._path}{field}"

    def _words(self, field: str) -> str:
        return f"{self._path}{WORDS}.{field}"

    def _valued(self, query: Any) -> dict[str, Any]:
        name = self.name(query.field)
        match query:
            case Term():
                return {"term": {name: {"value": query.value}}}
            case Terms():
                return {"terms": {name: list(query.values)}}
            case Range():
                bounds = {"gt": query.above, "gte": query.at_least, "lte": query.at_most, "lt": query.below}
                return {"range": {name: {key: bound for key, bound in bounds.items() if bound is not None}}}
            case Prefix():
                searched = self._words(query.field) if self._kind(query.field) is Kind.TEXT else name
                return {"prefix": {searched: {"value": query.value}}}
            case Exists():
                return self._exists(query.field)
            case _:
                raise Internal(f"a query that is not known: {query}")

    def _exists(self, field: str) -> dict[str, Any]:
        match self._kind(field):
            case Kind.NESTED:
                return {"nested": {"path": field, "query": ALL}}
            case Kind.TEXT:
                return {"exists": {"field": self._words(field)}}
            case _:
                return {"exists": {"field": self.name(field)}}

    def _bool(self, query: Bool) -> dict[str, Any]:
        parts = {
            key: [self.query(each) for each in given]
            for key, given in (
                ("must", query.must),
                ("should", query.should),
                ("must_not", query.must_not),
                ("filter", query.filter),
            )
            if given
        }
        if query.should and not query.least and not query.must and not query.filter:
            # Of optional parts alone, one has to match there.
            parts["filter"] = [ALL]
        return {"bool": {**parts, "minimum_should_match": query.least} if query.should else parts}

    def _aggregation(self, asked: Aggregation) -> dict[str, Any]:
        field = self.name(asked.field)
        match asked:
            case TermBuckets():
                order = [{"_count": "desc"}, {"_key": "asc"}]
                return {"terms": {"field": field, "size": asked.limit, "order": order}, **self._inner(asked.within)}
            case RangeBuckets():
                ranges = [
                    {"key": str(number), "from": each.start, "to": each.end} for number, each in enumerate(asked.ranges)
                ]
                kept = [{key: value for key, value in each.items() if value is not None} for each in ranges]
                return {"range": {"field": field, "ranges": kept}, **self._inner(asked.within)}
            case HistogramBuckets():
                steps = {"field": field, "interval": asked.width, "min_doc_count": 1}
                return {"histogram": steps, **self._inner(asked.within)}
            case NestedBucket():
                return {"nested": {"path": field}, **self._objects(asked.field)._inner(asked.within)}
            case Summary():
                return {"stats": {"field": field}}
            case Distinct():
                return {"cardinality": {"field": field, "precision_threshold": EXACT_MAX}}

    def _inner(self, within: Mapping[str, Aggregation]) -> dict[str, Any]:
        return {"aggs": self.aggregations(within)} if within else {}

    def _objects(self, field: str) -> Asking:
        return Asking(self._fields[field].fields, f"{field}.")

    def _result(self, asked: Aggregation, found: Mapping[str, Any]) -> Result:
        match asked:
            case Summary():
                count = int(found["count"])
                least, greatest = (found["min"], found["max"]) if count else (None, None)
                return Totals(count=count, least=least, greatest=greatest, sum=found["sum"] if count else 0.0)
            case Distinct():
                return Count(int(found["value"]))
            case NestedBucket():
                within = self._objects(asked.field).results(asked.within, found)
                return Buckets(buckets=[Bucket(key=0, count=int(found["doc_count"]), within=within)])
            case RangeBuckets():
                by_key = {bucket["key"]: bucket for bucket in found["buckets"]}
                every = [by_key[str(number)] for number in range(len(asked.ranges))]
                return Buckets(buckets=[self._bucket(n, asked.within, each) for n, each in enumerate(every)])
            case HistogramBuckets():
                if len(found["buckets"]) > BUCKETS_MAX:
                    raise too_many_buckets(BUCKETS_MAX)
                every = found["buckets"]
                return Buckets(buckets=[self._bucket(each["key"] + 0.0, asked.within, each) for each in every])
            case TermBuckets():
                every = [self._bucket(self._key(asked.field, each), asked.within, each) for each in found["buckets"]]
                return Buckets(buckets=every, others=int(found["sum_other_doc_count"]))

    def _bucket(self, key: Scalar, within: Mapping[str, Aggregation], found: Mapping[str, Any]) -> Bucket:
        return Bucket(key=key, count=int(found["doc_count"]), within=self.results(within, found))

    def _key(self, field: str, bucket: Mapping[str, Any]) -> Scalar:
        match self._kind(field):
            case Kind.BOOLEAN:
                return bool(bucket["key"])
            case Kind.DOUBLE:
                return float(bucket["key"])
            case _:
                return bucket["key"]

    def _kind(self, field: str) -> Kind:
        return self._fields[field].kind
