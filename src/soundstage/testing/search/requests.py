"""Random documents, and random requests whose answers an engine and the specification must have in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from soundstage.engines.search.port import Field, IndexSpec, Kind, Page, Put, Request, SearchCapability
from soundstage.engines.search.queries import (
    Aggregation,
    All,
    Bool,
    Distinct,
    Exists,
    HistogramBuckets,
    Interval,
    Match,
    Nested,
    NestedBucket,
    Phrase,
    Prefix,
    Query,
    Range,
    RangeBuckets,
    Scalar,
    Sort,
    Summary,
    Term,
    TermBuckets,
    Terms,
)

DOCUMENTS = 120

_WORDS = ("red", "Red", "blue", "green", "RED-blue", "Straße", "日本", "bl")
_KEYWORDS = ("a", "b", "ab", "B", "a b", "", "é", "zz")
_DOUBLES = (-1.5, 0.0, 0.1, 2.0, 1e300)
_INSTANTS = (-(1 << 53), -1, 0, 1, 1_700_000_000_000_000)

VALUES: dict[str, Callable[[random.Random], Any]] = {
    "text": lambda chance: " ".join(chance.choices(_WORDS, k=chance.randint(0, 5))),
    "word": lambda chance: chance.choice(_KEYWORDS),
    "words": lambda chance: chance.sample(_KEYWORDS, chance.randint(0, 3)),
    "number": lambda chance: chance.randint(-3, 6),
    "numbers": lambda chance: chance.sample(range(-3, 7), chance.randint(0, 3)),
    "large": lambda chance: chance.choice((1 - (1 << 63), -(1 << 53) - 1, 1 << 53, (1 << 63) - 2)),
    "double": lambda chance: chance.choice(_DOUBLES),
    "flag": lambda chance: chance.random() < 0.5,
    "when": lambda chance: chance.choice(_INSTANTS),
}
FIELDS = {
    "text": Field(kind=Kind.TEXT),
    "word": Field(kind=Kind.KEYWORD),
    "words": Field(kind=Kind.KEYWORD, many=True),
    "number": Field(kind=Kind.INTEGER),
    "numbers": Field(kind=Kind.INTEGER, many=True),
    "large": Field(kind=Kind.INTEGER),
    "double": Field(kind=Kind.DOUBLE),
    "flag": Field(kind=Kind.BOOLEAN),
    "when": Field(kind=Kind.INSTANT),
}
PARTS = {name: FIELDS[name] for name in ("text", "word", "numbers")}


def spec(name: str, capabilities: frozenset[SearchCapability]) -> IndexSpec:
    """An index with a field of each kind that an engine of these capabilities has, vectors apart."""
    nested = {"parts": Field(kind=Kind.NESTED, fields=PARTS)} if SearchCapability.NESTED in capabilities else {}
    return IndexSpec(name=name, fields=FIELDS | nested)


def documents(seed: int, asked: IndexSpec) -> list[Put]:
    """The same for the same seed."""
    chance = random.Random(seed)
    found: list[Put] = []
    for number in range(DOCUMENTS):
        fields = _some(chance, FIELDS)
        if "parts" in asked.fields and chance.random() < 0.7:
            fields["parts"] = [_some(chance, PARTS) for _ in range(chance.randint(0, 3))]
        found.append(Put(f"{number:03}", fields))
    return found


def _some(chance: random.Random, fields: dict[str, Field]) -> dict[str, Any]:
    return {name: VALUES[name](chance) for name in fields if chance.random() < 0.7}


def request(seed: int, asked: IndexSpec) -> Request:
    """A sorted request with something to count; the same for the same seed."""
    chance = random.Random(seed)
    sortable = [name for name, field in FIELDS.items() if field.kind is not Kind.TEXT and not field.many]
    return Request(
        query=_query(chance, asked.fields, 3),
        sort=[Sort(name, chance.random() < 0.5) for name in chance.sample(sortable, chance.randint(1, 3))],
        limit=chance.choice((1, 7, 50)),
        aggregations={f"a{number}": _aggregation(chance, asked.fields, 2) for number in range(chance.randint(0, 2))},
    )


def _query(chance: random.Random, fields: dict[str, Field], depth: int) -> Query:
    if depth and chance.random() < 0.5:
        parts = [[_query(chance, fields, depth - 1) for _ in range(chance.choice((0, 0, 1, 2)))] for _ in range(4)]
        least = chance.choice((None, None, 0, len(parts[1])))
        return Bool(must=parts[0], should=parts[1], must_not=parts[2], filter=parts[3], should_min=least)
    name = chance.choice(list(fields))
    if fields[name].kind is Kind.NESTED:
        return Nested(name, _query(chance, fields[name].fields, max(0, depth - 1)))
    return _leaf(chance, name, fields[name])


def _leaf(chance: random.Random, name: str, field: Field) -> Query:
    def value() -> Scalar:
        found: Any = VALUES[name](chance)
        return chance.choice(found or [0]) if field.many else found

    if field.kind is Kind.TEXT:
        text = VALUES[name](chance)
        leaves: Sequence[Query] = (
            Match(name, text),
            Match(name, text, every=False),
            Phrase(name, text),
            Prefix(name, chance.choice(("b", "RE", "stras", "日"))),
            Exists(name),
        )
        return chance.choice(leaves)
    if field.kind is Kind.KEYWORD:
        one, other = chance.choices(_KEYWORDS, k=2)
        return chance.choice(
            (Term(name, one), Terms(name, [one, other]), Prefix(name, one or "a"), *_ranges(name, one, other))
        )
    if field.kind is Kind.BOOLEAN:
        return chance.choice((Term(name, value()), Exists(name)))
    return chance.choice((Term(name, value()), Terms(name, [value(), value()]), *_ranges(name, value(), value())))


def _ranges(name: str, one: Scalar, other: Scalar) -> tuple[Query, ...]:
    return (
        Range(field=name, above=one),
        Range(field=name, at_most=one),
        Range(field=name, at_least=one, below=other),
        Exists(name),
        All(),
    )


def _aggregation(chance: random.Random, fields: dict[str, Field], depth: int) -> Aggregation:
    def within(known: dict[str, Field]) -> dict[str, Aggregation]:
        return {"b": _aggregation(chance, known, depth - 1)} if depth and chance.random() < 0.6 else {}

    if "parts" in fields and chance.random() < 0.2:
        return NestedBucket(field="parts", within=within(fields["parts"].fields))
    numbers = [name for name in ("number", "numbers", "double", "when") if name in fields]
    values = [name for name, field in fields.items() if field.kind not in (Kind.TEXT, Kind.NESTED)]
    kinds: Sequence[Aggregation] = (
        TermBuckets(field=chance.choice(values), limit=chance.choice((2, 12)), within=within(fields)),
        RangeBuckets(field=chance.choice(numbers), ranges=[Interval(end=0), Interval(0, 2)], within=within(fields)),
        HistogramBuckets(field="numbers", width=chance.choice((2, 2.5)), within=within(fields)),
        Summary(chance.choice(numbers)),
        Distinct(chance.choice(values)),
    )
    return chance.choice(kinds)


def comparable(page: Page) -> Any:
    """What two engines must have in common: everything but revisions and ends of pages, sums to nine digits."""
    hits = [(hit.document.id, hit.document.fields, hit.score) for hit in page.hits]
    return hits, page.total, page.after is None, _rounded(msgspec.to_builtins(page.aggregations))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_rounded(each) for each in cast("list[Any]", value)]
    return float(f"{value:.9g}") if isinstance(value, float) else value
