"""Our queries as Tantivy's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tantivy import FieldType, Index, Occur, Searcher
from tantivy import Query as Asked

from soundstage.engines.search.analysis import words
from soundstage.engines.search.checks import BOUNDS
from soundstage.engines.search.port import Field, IndexSpec, Kind
from soundstage.engines.search.queries import (
    All,
    Bool,
    Exists,
    Match,
    Phrase,
    Prefix,
    Query,
    Range,
    Term,
    Terms,
)
from soundstage.engines.search.tantivy.layout import HAS, ID, column, term

_TYPES = {Kind.INTEGER: FieldType.Integer, Kind.INSTANT: FieldType.Integer, Kind.DOUBLE: FieldType.Float}


class Asking:
    """Translates for one index."""

    def __init__(self, index: Index, spec: IndexSpec) -> None:
        self._index = index
        self._schema = index.schema
        self._fields: Mapping[str, Field] = spec.fields

    def query(self, query: Query) -> Asked:
        """A query that was checked."""
        match query:
            case All():
                return Asked.all_query()
            case Bool():
                return self._bool(query)
            case Match():
                every = [self._word(query.field, word) for word in dict.fromkeys(words(query.text))]
                return _all(every) if query.every else _any(every)
            case Phrase():
                return self._phrase(query.field, words(query.text))
            case _:
                return self._valued(query)

    def id(self, id: str) -> Asked:
        """The document of that id."""
        return Asked.term_query(self._schema, ID, term(id))

    def ids_after(self, id: str) -> Asked:
        """The documents whose ids come behind it."""
        return self._index.parse_query(f"{ID}:{{{term(id)} TO *}}")

    def having(self, field: str) -> Asked:
        """The documents that have something there."""
        if self._fields[field].kind in (Kind.TEXT, Kind.VECTOR):
            return Asked.term_query(self._schema, HAS, field)
        return Asked.exists_query(column(field))

    def equal(self, field: str, value: Any) -> Asked:
        """The documents that have this value; None: those that have none."""
        if value is None:
            return Asked.boolean_query([(Occur.Must, nothing_weighs()), (Occur.MustNot, self.having(field))])
        return Asked.term_query(self._schema, column(field), self._written(field, value))

    def beyond(self, field: str, value: Any, *, descending: bool) -> Asked:
        """The documents whose value is greater, or less when `descending`."""
        if self._fields[field].kind is Kind.BOOLEAN:
            return self.equal(field, not value) if value is descending else Asked.empty_query()
        bounds = {"below": value} if descending else {"above": value}
        return self._range(Range(field=field, **bounds))

    def _valued(self, query: Any) -> Asked:
        match query:
            case Term():
                return self.equal(query.field, query.value)
            case Terms():
                values = [self._written(query.field, value) for value in query.values]
                return (
                    Asked.term_set_query(self._schema, column(query.field), values) if values else Asked.empty_query()
                )
            case Range():
                return self._range(query)
            case Prefix():
                written = self._written(query.field, query.value)
                return Asked.regex_query(self._schema, column(query.field), f"{written}.*")
            case Exists():
                return self.having(query.field)
            case _:
                raise AssertionError(f"checked queries are known: {query}")

    def _bool(self, query: Bool) -> Asked:
        parts = [(Occur.Must, self.query(each)) for each in query.must]
        parts += [(Occur.Must, Asked.const_score_query(self.query(each), 0.0)) for each in query.filter]
        parts += [(Occur.MustNot, self.query(each)) for each in query.must_not]
        if not query.must and not query.filter and not query.least:
            parts.append((Occur.Must, nothing_weighs()))
        parts += [(Occur.Should, self.query(each)) for each in query.should]
        return Asked.boolean_query(parts, query.least)

    def _range(self, query: Range) -> Asked:
        above, at_least, at_most, below = (
            None if (bound := getattr(query, name)) is None else self._written(query.field, bound) for name in BOUNDS
        )
        name = column(query.field)
        start, end = (above if at_least is None else at_least), (below if at_most is None else at_most)
        kind = self._fields[query.field].kind
        if kind is Kind.KEYWORD:
            left = "{" if at_least is None else "["
            right = "}" if at_most is None else "]"
            return self._index.parse_query(f"{name}:{left}{start or '*'} TO {end or '*'}{right}")
        return Asked.range_query(
            self._schema,
            name,
            _TYPES[kind],
            start,
            end,
            include_lower=above is None,
            include_upper=below is None,
        )

    def _word(self, field: str, word: str) -> Asked:
        return Asked.term_query(self._schema, column(field), word)

    def _phrase(self, field: str, found: list[str]) -> Asked:
        if len(found) > 1:
            # A list of words is also one of their places and them.
            return Asked.phrase_query(self._schema, column(field), [*found])
        return self._word(field, found[0]) if found else Asked.empty_query()

    def _written(self, field: str, value: Any) -> Any:
        return term(value) if self._fields[field].kind is Kind.KEYWORD else value


def both(*queries: Asked) -> Asked:
    """What matches all of them."""
    return _all(list(queries))


def counted(searcher: Searcher, query: Asked) -> int:
    """How many documents match."""
    # The driver's types leave it out.
    return int(cast("Any", searcher.search(query, 1)).count)


def either(*queries: Asked) -> Asked:
    """What matches one of them."""
    return _any(list(queries))


def nothing_weighs() -> Asked:
    """Everything, with no score."""
    return Asked.const_score_query(Asked.all_query(), 0.0)


def _all(queries: list[Asked]) -> Asked:
    return Asked.boolean_query([(Occur.Must, each) for each in queries]) if queries else Asked.empty_query()


def _any(queries: list[Asked]) -> Asked:
    return Asked.boolean_query([(Occur.Should, each) for each in queries]) if queries else Asked.empty_query()
