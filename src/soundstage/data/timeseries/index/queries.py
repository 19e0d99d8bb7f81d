"""What is searched for, as the search port asks for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

from soundstage.core.errors import InvalidArgument
from soundstage.data.timeseries.api import BooleanQuery, RangeQuery, SearchQuery
from soundstage.data.timeseries.events import EventKey
from soundstage.data.timeseries.index.fields import EVENT, SERIES, TIME, Fields, bounded
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.search.port import Kind
from soundstage.engines.search.queries import All, Bool, Exists, Match, Prefix, Query, Range, Scalar, Term, Terms

DEPTH_MAX = 5
"""Of queries within queries; what is around them has the rest of what an engine takes."""

BLOCKED_MAX = 300
"""Ids that a query leaves out; of more none is."""

GAPS_MAX = 100
"""Between slices: what lies in those behind them is taken to be in slices."""

SHOWN_GAPS_MAX = 16
"""The same, of a search."""


def query_of(wanted: SearchQuery | None, fields: Fields) -> Query:
    """What matches `wanted`; everything for None. Raises `InvalidArgument` with the path of what no index answers."""
    return All() if wanted is None else _query(wanted, fields, "search_query", 1)


def within(start_ns: int, end_ns: int) -> Range:
    """From the one time on and before the other."""
    return Range(field=TIME, at_least=bounded(start_ns), at_most=bounded(end_ns - 1))


def after(key: EventKey) -> Query:
    """Events that come behind that one: older ones, and of its time those of greater ids."""
    same_series = Bool(filter=[Term(SERIES, key.series), Range(field=EVENT, above=key.event_id)])
    behind = Bool(should=[Range(field=SERIES, above=key.series), same_series])
    time = bounded(key.time_ns)
    return Bool(should=[Range(field=TIME, below=time), Bool(filter=[Term(TIME, time), behind])])


def visible(query: Query, parts: Sequence[Query], blocked: Collection[str], slices: Sequence[Slice]) -> Bool:
    """`query`, but for events of ids that are blocked, and of times of which there is none of these `slices`."""
    must_not: list[Query] = [] if slices else [All()]
    if 0 < len(blocked) <= BLOCKED_MAX:
        must_not.append(Terms(SERIES, sorted(blocked)))
    return Bool(
        filter=[*parts, query], must_not=must_not, should=_spans(slices, SHOWN_GAPS_MAX), should_min=int(bool(slices))
    )


def strays(slices: Sequence[Slice]) -> Bool:
    """Documents of times of which there is no slice."""
    return Bool(must_not=_spans(slices, GAPS_MAX))


def _spans(slices: Sequence[Slice], gaps: int) -> list[Query]:
    """The times of slices, which are in order."""
    spans: list[Query] = []
    begin: int | None = None
    for one, next_one in pairwise([*slices, None]):
        assert one is not None
        begin = one.start if begin is None else begin
        if next_one is None or (next_one.start > one.end and len(spans) < gaps):
            spans.append(within(begin, one.end))
            begin = None
    return spans


def _query(wanted: SearchQuery, fields: Fields, place: str, depth: int) -> Query:
    if depth > DEPTH_MAX:
        raise InvalidArgument(
            f"queries are within queries more than {DEPTH_MAX} times", field=place, hint="put them side by side"
        )
    given = [name for name in SearchQuery.__struct_fields__ if getattr(wanted, name) is not None]
    if len(given) != 1:
        raise InvalidArgument(
            f"{len(given)} kinds of query are given", field=place, hint=f"give one of {', '.join(_QUERIES)}"
        )
    at = f"{place}.{given[0]}"
    return _QUERIES[given[0]](wanted, fields, at, depth)


def _boolean(wanted: SearchQuery, fields: Fields, at: str, depth: int) -> Query:
    found = wanted.boolean_query
    assert isinstance(found, BooleanQuery)
    parts = [
        _query(each, fields, f"{at}.search_query[{number}]", depth + 1)
        for number, each in enumerate(found.search_query)
    ]
    return Bool(filter=parts) if found.operator == "AND" else Bool(should=parts, should_min=1)


def _not(wanted: SearchQuery, fields: Fields, at: str, depth: int) -> Query:
    assert wanted.not_query is not None
    return Bool(must_not=[_query(wanted.not_query, fields, at, depth + 1)])


def _equals(wanted: SearchQuery, fields: Fields, at: str, depth: int) -> Query:
    assert wanted.equals is not None
    key = wanted.equals.event_item_key
    name, kind = fields.field(key, f"{at}.event_item_key")
    _not_text(kind, at)
    return Term(name, fields.value(key, wanted.equals.event_item_value, f"{at}.event_item_value"))


def _range(wanted: SearchQuery, fields: Fields, at: str, depth: int) -> Query:
    found = wanted.range
    assert isinstance(found, RangeQuery)
    name, kind = fields.field(found.event_item_key, f"{at}.event_item_key")
    _not_text(kind, at)
    if kind is Kind.BOOLEAN:
        raise InvalidArgument("true and false have no order", field=at, hint="ask with equals")
    bounds: dict[str, Scalar] = {}
    for bound, including, excluding, part in (
        (found.lower_bound, "at_least", "above", "lower_bound"),
        (found.upper_bound, "at_most", "below", "upper_bound"),
    ):
        if bound is not None:
            value = fields.value(found.event_item_key, bound.event_item_value, f"{at}.{part}.event_item_value")
            bounds[including if bound.inclusive else excluding] = value
    if not bounds:
        raise InvalidArgument("a range has no bound", field=at, hint="give one, or ask with exists")
    return Range(field=name, **bounds)


def _prefix(wanted: SearchQuery, fields: Fields, at: str, depth: int) -> Query:
    assert wanted.prefix is not None
    name, kind = fields.field(wanted.prefix.event_item_key, f"{at}.event_item_key")
    if kind not in (Kind.KEYWORD, Kind.TEXT):
        raise InvalidArgument(f"a field of the kind {kind.value} has no beginning", field=at, hint="ask with range")
    return Prefix(name, _words(wanted.prefix.event_item_value, at))


def _exists(wanted: SearchQuery, fields: Fields, at: str, depth: int) -> Query:
    assert wanted.exists is not None
    return Exists(fields.field(wanted.exists.event_item_key, f"{at}.event_item_key")[0])


def _match(wanted: SearchQuery, fields: Fields, at: str, depth: int) -> Query:
    assert wanted.match is not None
    name, kind = fields.field(wanted.match.event_item_key, f"{at}.event_item_key")
    if kind is not Kind.TEXT:
        raise InvalidArgument("only texts have words", field=at, hint="ask with equals")
    return Match(name, _words(wanted.match.event_item_value, at))


def _words(value: bytes, at: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidArgument("the value is no text", field=f"{at}.event_item_value", hint="send UTF-8") from None


def _not_text(kind: Kind, at: str) -> None:
    if kind is Kind.TEXT:
        raise InvalidArgument("a text is found by its words", field=at, hint="ask with match, or index it as a keyword")


_QUERIES: dict[str, Callable[[SearchQuery, Fields, str, int], Query]] = {
    "boolean_query": _boolean,
    "not_query": _not,
    "equals": _equals,
    "range": _range,
    "prefix": _prefix,
    "exists": _exists,
    "match": _match,
}
