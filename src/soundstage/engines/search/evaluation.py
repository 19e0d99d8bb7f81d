"""What queries, orders and counts mean, on documents in memory: the part of the specification that is about reading."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from soundstage.engines.search.analysis import words
from soundstage.engines.search.counting import too_many_buckets
from soundstage.engines.search.port import BUCKETS_MAX, Field, Kind, Similarity
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
    Sort,
    Summary,
    Term,
    TermBuckets,
    Terms,
    Totals,
)
from soundstage.engines.search.tokens import Position

K1, B = 1.2, 0.75
"""BM25's usual constants."""


class Analysed:
    """A document, or one object of a nested field, with its texts as words."""

    def __init__(self, id: str, fields: dict[str, Any], known: Mapping[str, Field]) -> None:
        self.id = id
        self.fields = fields
        self.words: dict[str, list[str]] = {}
        self.objects: dict[str, list[Analysed]] = {}
        for name, value in fields.items():
            field = known[name]
            if field.kind is Kind.TEXT:
                self.words[name] = words(value)
            elif field.kind is Kind.NESTED:
                self.objects[name] = [Analysed(id, each, field.fields) for each in value]

    def values(self, name: str) -> list[Scalar]:
        """The values of a field: none, one, or several."""
        value = self.fields.get(name)
        if value is None:
            return []
        return cast("list[Scalar]", value) if isinstance(value, list) else [value]


def matches(query: Query, document: Analysed) -> bool:
    """Whether the document matches a query that was checked."""
    match query:
        case Bool():
            return (
                all(matches(each, document) for each in (*query.must, *query.filter))
                and not any(matches(each, document) for each in query.must_not)
                and sum(matches(each, document) for each in query.should) >= query.least
            )
        case Nested():
            return any(matches(query.query, each) for each in document.objects.get(query.field, ()))
        case Match():
            wanted, there = words(query.text), set(document.words.get(query.field, ()))
            return bool(wanted) and (all if query.every else any)(word in there for word in wanted)
        case Phrase():
            return _has_phrase(document.words.get(query.field, []), words(query.text))
        case Prefix():
            compared = document.words.get(query.field) or document.values(query.field)
            return any(str(value).startswith(query.value) for value in compared)
        case All():
            return True
        case _:
            return _holds(query, document)


def _holds(query: Term | Terms | Range | Exists, document: Analysed) -> bool:
    values = document.values(query.field)
    match query:
        case Term():
            return query.value in values
        case Terms():
            return any(value in values for value in query.values)
        case Range():
            return any(_within(query, cast("float", value)) for value in values)
        case Exists():
            return bool(document.words.get(query.field, values))


def _within(query: Range, value: float) -> bool:
    above, at_least, at_most, below = cast(
        "tuple[float | None, ...]", (query.above, query.at_least, query.at_most, query.below)
    )
    return (
        (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
    )


def _has_phrase(there: list[str], wanted: list[str]) -> bool:
    size = len(wanted)
    return size > 0 and any(there[at : at + size] == wanted for at in range(len(there) - size + 1))


class Collection:
    """All documents of an index, as scores weigh words by them."""

    def __init__(self, documents: Sequence[Analysed]) -> None:
        self._documents = documents
        self._weights: dict[tuple[str, str], float] = {}
        self._lengths: dict[str, float] = {}

    def score(self, query: Query, document: Analysed) -> float:
        """Greater for a better match, by BM25; what is not about words weighs one."""
        match query:
            case Bool():
                parts = [each for each in (*query.must, *query.should) if matches(each, document)]
                return sum(self.score(each, document) for each in parts)
            case Match() | Phrase():
                found = document.words.get(query.field, [])
                wanted = dict.fromkeys(words(query.text))
                return sum(self._word(query.field, word, found) for word in wanted if word in found)
            case _:
                return 1.0

    def _word(self, field: str, word: str, found: list[str]) -> float:
        often = found.count(word)
        length = 1 - B + B * len(found) / self._length(field)
        return self._weight(field, word) * often / (often + K1 * length)

    def _weight(self, field: str, word: str) -> float:
        key = field, word
        if key not in self._weights:
            having = sum(word in each.words.get(field, ()) for each in self._documents)
            self._weights[key] = math.log(1 + (len(self._documents) - having + 0.5) / (having + 0.5))
        return self._weights[key]

    def _length(self, field: str) -> float:
        if field not in self._lengths:
            lengths = [len(each.words[field]) for each in self._documents if each.words.get(field)]
            self._lengths[field] = sum(lengths) / max(1, len(lengths))
        return self._lengths[field]


def position_of(document: Analysed, sorts: Sequence[Sort]) -> Position:
    """Where the document stands in the order of `sorts`."""
    return [document.fields.get(sort.field) for sort in sorts], document.id


def compare(left: Position, right: Position, sorts: Sequence[Sort]) -> int:
    """Less than 0 where `left` comes first."""
    for sort, one, other in zip(sorts, left[0], right[0], strict=True):
        if one == other:
            continue
        if one is None or other is None:
            return 1 if one is None else -1
        first = cast("float", one) < cast("float", other)
        return 1 if first == sort.descending else -1
    return (left[1] > right[1]) - (left[1] < right[1])


def likeness(similarity: Similarity, left: Sequence[float], right: Sequence[float]) -> float:
    """How alike two vectors are; greater is more."""
    if similarity == "euclidean":
        return 1 / (1 + sum((one - other) ** 2 for one, other in zip(left, right, strict=True)))
    product = sum(one * other for one, other in zip(left, right, strict=True))
    return product / (math.hypot(*left) * math.hypot(*right)) if similarity == "cosine" else product


def aggregate(asked: Mapping[str, Aggregation], documents: Sequence[Analysed]) -> dict[str, Result]:
    """What is counted over these documents. Raises `TooLarge` for a histogram of more than 1,000 buckets."""
    return {name: _counted(each, documents) for name, each in asked.items()}


class _Group(NamedTuple):
    key: Scalar
    documents: Sequence[Analysed]


def _counted(asked: Aggregation, documents: Sequence[Analysed]) -> Result:
    match asked:
        case Summary():
            values = [float(value) for each in documents for value in each.values(asked.field)]
            least, greatest = min(values, default=None), max(values, default=None)
            return Totals(count=len(values), least=least, greatest=greatest, sum=math.fsum(values))
        case Distinct():
            return Count(len({value for each in documents for value in each.values(asked.field)}))
        case TermBuckets():
            groups = _grouped(documents, asked.field, lambda value: value)
            groups.sort(key=lambda group: (-len(group.documents), group.key))
            others = sum(len(group.documents) for group in groups[asked.limit :])
            return _buckets(groups[: asked.limit], asked.within, others)
        case HistogramBuckets():
            width = float(asked.width)
            groups = _grouped(documents, asked.field, lambda value: math.floor(value / width) * width)
            if len(groups) > BUCKETS_MAX:
                raise too_many_buckets(BUCKETS_MAX)
            return _buckets(sorted(groups, key=lambda group: group.key), asked.within)
        case RangeBuckets():
            return _buckets([*_ranged(asked, documents)], asked.within)
        case NestedBucket():
            objects = [each for document in documents for each in document.objects.get(asked.field, ())]
            return _buckets([_Group(0, objects)], asked.within)


def _buckets(groups: Iterable[_Group], within: Mapping[str, Aggregation], others: int = 0) -> Buckets:
    return Buckets(
        buckets=[
            Bucket(key=group.key, count=len(group.documents), within=aggregate(within, group.documents))
            for group in groups
        ],
        others=others,
    )


def _grouped(documents: Sequence[Analysed], field: str, key: Callable[[Any], Any]) -> list[_Group]:
    """Documents by what their values come to; each document once in each group."""
    groups: dict[Any, list[Analysed]] = {}
    for document in documents:
        for found in Counter(key(value) for value in document.values(field)):
            groups.setdefault(found, []).append(document)
    return [_Group(key, found) for key, found in groups.items()]


def _ranged(asked: RangeBuckets, documents: Sequence[Analysed]) -> Iterable[_Group]:
    for number, interval in enumerate(asked.ranges):
        start = -math.inf if interval.start is None else interval.start
        end = math.inf if interval.end is None else interval.end
        inside = [each for each in documents if any(start <= cast("float", v) < end for v in each.values(asked.field))]
        yield _Group(number, inside)
