"""What is counted over events, as the search port counts it."""

from __future__ import annotations

from typing import NamedTuple

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import NS_PER_MS, NS_PER_US, Instant
from soundstage.data.timeseries.api import AggregateBucket, AggregationQuery, ItemName
from soundstage.data.timeseries.index.fields import MOMENT, Fields
from soundstage.engines.search import queries
from soundstage.engines.search.port import Kind
from soundstage.engines.search.queries import (
    Buckets,
    Count,
    Distinct,
    HistogramBuckets,
    Result,
    Summary,
    TermBuckets,
    Totals,
)

NAME = "asked"

_NUMBERS = (Kind.INTEGER, Kind.DOUBLE)


class Counted(NamedTuple):
    """See `AggregateEventRecordsReply`."""

    value: float | None = None
    buckets: list[AggregateBucket] | None = None
    others: int | None = None


def aggregation_of(wanted: AggregationQuery, fields: Fields) -> dict[str, queries.Aggregation]:
    """What the port is asked besides the number. Raises `InvalidArgument` for what it cannot tell."""
    given = [name for name in AggregationQuery.__struct_fields__ if getattr(wanted, name) is not None]
    if len(given) != 1:
        raise InvalidArgument(
            f"{len(given)} aggregations are given",
            field="aggregation_query",
            hint=f"give one of {', '.join(AggregationQuery.__struct_fields__)}",
        )
    at = f"aggregation_query.{given[0]}"
    if wanted.time_histogram is not None:
        if wanted.time_histogram.interval < NS_PER_MS:
            raise InvalidArgument("an interval is a millisecond at least", field=f"{at}.interval", hint="widen it")
        return {NAME: HistogramBuckets(field=MOMENT, width=wanted.time_histogram.interval / NS_PER_US)}
    if wanted.distinct is not None:
        return {NAME: Distinct(_counted(wanted.distinct, fields, at))}
    if wanted.top_terms is not None:
        name = _counted(ItemName(event_item_key=wanted.top_terms.event_item_key), fields, at)
        return {NAME: TermBuckets(field=name, limit=wanted.top_terms.limit)}
    if wanted.histogram is not None:
        name = _number(ItemName(event_item_key=wanted.histogram.event_item_key), fields, at)
        return {NAME: HistogramBuckets(field=name, width=wanted.histogram.width)}
    over = wanted.sum or wanted.min or wanted.max
    return {} if over is None else {NAME: Summary(_number(over, fields, at))}


def counted(wanted: AggregationQuery, fields: Fields, found: Result | None) -> Counted:
    """What the port answered, as it is told."""
    if isinstance(found, Count):
        return Counted(value=float(found.count))
    if isinstance(found, Totals):
        if not found.count:
            return Counted()
        return Counted(value=found.sum if wanted.sum else found.least if wanted.min else found.greatest)
    if not isinstance(found, Buckets):
        return Counted()
    if wanted.top_terms is not None:
        _, kind = fields.field(wanted.top_terms.event_item_key, "")
        told = [AggregateBucket(count=each.count, event_item_value=_shown(each.key, kind)) for each in found.buckets]
        return Counted(buckets=told, others=found.others)
    if wanted.time_histogram is not None:
        return Counted(
            buckets=[
                AggregateBucket(count=each.count, start_time=Instant(round(float(each.key)) * NS_PER_US))
                for each in found.buckets
            ]
        )
    return Counted(buckets=[AggregateBucket(count=each.count, start=float(each.key)) for each in found.buckets])


def _counted(over: ItemName, fields: Fields, at: str) -> str:
    name, kind = fields.field(over.event_item_key, f"{at}.event_item_key")
    if kind is Kind.TEXT:
        raise InvalidArgument("texts are not counted", field=at, hint="index it as a keyword")
    return name


def _number(over: ItemName, fields: Fields, at: str) -> str:
    name, kind = fields.field(over.event_item_key, f"{at}.event_item_key")
    if kind not in _NUMBERS:
        raise InvalidArgument(f"a field of the kind {kind.value} has no numbers", field=at, hint="index it as a number")
    return name


def _shown(key: queries.Scalar, kind: Kind) -> bytes:
    """A value as it would be written."""
    if kind is Kind.INSTANT:
        return str(Instant(int(key) * NS_PER_US)).encode()
    if kind is Kind.BOOLEAN:
        return b"true" if key else b"false"
    if kind is Kind.INTEGER:
        return str(int(key)).encode()
    return str(key).encode()
