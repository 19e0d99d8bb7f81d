"""What may be asked of an index: each query, order and count by the kinds of its fields, within the limits.

Queries come out in one form: values as their kind has them, words instead of texts where that is what matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from soundstage.core.errors import InvalidArgument
from soundstage.engines.search import refusals
from soundstage.engines.search.analysis import words
from soundstage.engines.search.counting import check_aggregations
from soundstage.engines.search.port import (
    CLAUSES_MAX,
    DELETE_MAX,
    DEPTH_MAX,
    NEAREST_MAX,
    PAGE_MAX_HITS,
    SORTS_MAX,
    IndexSpec,
    Kind,
    Nearest,
    Request,
)
from soundstage.engines.search.queries import (
    All,
    Bool,
    Exists,
    Match,
    Nested,
    Phrase,
    Prefix,
    Query,
    Range,
    Term,
    Terms,
)
from soundstage.engines.search.specs import ORDERED, VALUED, Fields, field_of
from soundstage.engines.search.values import scalar, text, vector

BOUNDS = ("above", "at_least", "at_most", "below")


def check_request(spec: IndexSpec, request: Request) -> Request:
    """The request in the form that engines take. Raises `InvalidArgument` and `TooLarge`."""
    if not 0 <= request.limit <= PAGE_MAX_HITS:
        raise InvalidArgument(f"a page has 0 to {PAGE_MAX_HITS} hits, not {request.limit}", field="limit")
    if len(request.sort) > SORTS_MAX:
        raise refusals.too_many("keys to sort by", SORTS_MAX, "sort")
    for number, sort in enumerate(request.sort):
        place = f"sort[{number}].field"
        if field_of(spec.fields, sort.field, VALUED, "sorted by", place).many:
            raise InvalidArgument("what has several values is not sorted by", field=place)
        if any(sort.field == other.field for other in request.sort[:number]):
            raise InvalidArgument(f"{sort.field!r} is sorted by twice", field=place)
    _check_returned(spec, request.fields)
    check_aggregations(spec.fields, request.aggregations)
    return msgspec.structs.replace(request, query=check_query(spec, request.query))


def check_nearest(spec: IndexSpec, request: Nearest) -> Nearest:
    """The same for vectors."""
    if not 1 <= request.limit <= NEAREST_MAX:
        raise InvalidArgument(f"1 to {NEAREST_MAX} documents are nearest, not {request.limit}", field="limit")
    field = field_of(spec.fields, request.field, frozenset({Kind.VECTOR}), "compared by likeness", "field")
    found = vector(field, request.vector, "vector")
    _check_returned(spec, request.fields)
    where = None if request.where is None else check_query(spec, request.where, "where")
    return msgspec.structs.replace(request, vector=found, where=where)


def check_deletion(spec: IndexSpec, query: Query, limit: int) -> Query:
    """The same for what is deleted."""
    if not 1 <= limit <= DELETE_MAX:
        raise InvalidArgument(f"1 to {DELETE_MAX} documents are deleted at once, not {limit}", field="limit")
    return check_query(spec, query)


def check_query(spec: IndexSpec, query: Query, place: str = "query") -> Query:
    """The query in the form that engines take. Raises `InvalidArgument`, and `TooLarge` over 500 clauses."""
    checker = _Checker()
    found = checker.query(spec.fields, query, place, 1, inside=False)
    if checker.clauses > CLAUSES_MAX:
        raise refusals.too_many("clauses in a query, words and values counted", CLAUSES_MAX, place)
    return found


def _check_returned(spec: IndexSpec, names: Sequence[str] | None) -> None:
    for number, name in enumerate(names or ()):
        if name not in spec.fields:
            raise refusals.no_field(name, spec.fields, f"fields[{number}]")


class _Checker:
    """Counts the clauses of one query as it goes through it."""

    def __init__(self) -> None:
        self.clauses = 0

    def query(self, fields: Fields, query: Query, place: str, depth: int, *, inside: bool) -> Query:
        if depth > DEPTH_MAX:
            raise refusals.too_many("queries within each other", DEPTH_MAX, place)
        self.clauses += 1
        match query:
            case Bool():
                return self._bool(fields, query, place, depth, inside)
            case Nested():
                if inside:
                    raise InvalidArgument("objects have no objects", field=place)
                field = field_of(fields, query.field, frozenset({Kind.NESTED}), "looked into", f"{place}.field")
                within = self.query(field.fields, query.query, f"{place}.query", depth + 1, inside=True)
                return Nested(query.field, within)
            case All():
                return query
            case _:
                return self._leaf(fields, query, place)

    def _bool(self, fields: Fields, query: Bool, place: str, depth: int, inside: bool) -> Bool:
        if query.should_min is not None and not 0 <= query.should_min <= len(query.should):
            raise InvalidArgument(f"0 to {len(query.should)} of `should` can match", field=f"{place}.should_min")

        def each(name: str) -> list[Query]:
            return [
                self.query(fields, part, f"{place}.{name}[{number}]", depth + 1, inside=inside)
                for number, part in enumerate(getattr(query, name))
            ]

        return Bool(
            must=each("must"),
            should=each("should"),
            must_not=each("must_not"),
            filter=each("filter"),
            should_min=query.least,
        )

    def _leaf(self, fields: Fields, query: Any, place: str) -> Query:
        match query:
            case Term():
                field = field_of(fields, query.field, VALUED, "compared as a whole", f"{place}.field")
                return Term(query.field, scalar(field, query.value, f"{place}.value"))
            case Terms():
                field = field_of(fields, query.field, VALUED, "compared as a whole", f"{place}.field")
                self.clauses += len(query.values)
                found = [scalar(field, value, f"{place}.values[{n}]") for n, value in enumerate(query.values)]
                return Terms(query.field, list(dict.fromkeys(found)))
            case Range():
                return _range(fields, query, place)
            case Prefix():
                return _prefix(fields, query, place)
            case Exists():
                kinds = frozenset(Kind)
                field_of(fields, query.field, kinds, "asked for", f"{place}.field")
                return query
            case Match() | Phrase():
                field_of(fields, query.field, frozenset({Kind.TEXT}), "searched for words", f"{place}.field")
                self.clauses += len(words(text(query.text, f"{place}.text")))
                return query
            case _:
                raise InvalidArgument("this is no query", field=place)


def _range(fields: Fields, query: Range, place: str) -> Range:
    field = field_of(fields, query.field, ORDERED, "within bounds", f"{place}.field")
    given = {name: getattr(query, name) for name in BOUNDS if getattr(query, name) is not None}
    if not given:
        raise InvalidArgument("a range has at least one bound", field=place, hint="or ask whether the field exists")
    if {"above", "at_least"} <= given.keys() or {"at_most", "below"} <= given.keys():
        raise InvalidArgument("a range has one bound on each side", field=place)
    return Range(field=query.field, **{name: scalar(field, value, f"{place}.{name}") for name, value in given.items()})


def _prefix(fields: Fields, query: Prefix, place: str) -> Prefix:
    kinds = frozenset({Kind.KEYWORD, Kind.TEXT})
    field = field_of(fields, query.field, kinds, "compared by its beginning", f"{place}.field")
    value = text(query.value, f"{place}.value")
    if not value:
        raise InvalidArgument(
            "a beginning has at least one character", field=f"{place}.value", hint="or ask whether the field exists"
        )
    if field.kind is Kind.KEYWORD:
        return Prefix(query.field, value)
    found = words(value)
    if len(found) != 1:
        raise InvalidArgument("the beginning of a word is one word", field=f"{place}.value")
    return Prefix(query.field, found[0])
