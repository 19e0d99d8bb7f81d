"""Events by their keys, as the slices have them now."""

from __future__ import annotations

from collections.abc import Sequence

from soundstage.core.errors import NotFound
from soundstage.core.together import all_or_none
from soundstage.data.timeseries import partitions, placement
from soundstage.data.timeseries.api import Event
from soundstage.data.timeseries.events import EventKey
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.reads import event_from
from soundstage.data.timeseries.segments.layers import rows_of_event
from soundstage.data.timeseries.slices import covering
from soundstage.engines.records.port import DEFAULT_BUDGET, Span

AT_ONCE = 32


async def events_of(
    served: ServedNamespace, keys: Sequence[EventKey], now_ns: int, *, closed: bool = False
) -> list[Event | None]:
    """The events of these keys, in their order; None for one that is not stored, or not to be read unless `closed`.

    Of one that is larger than is read of any event the first items, if `closed`; else raises `TooLarge`.
    """
    found: list[Event | None] = []
    for at in range(0, len(keys), AT_ONCE):
        found += await all_or_none([_event(served, key, now_ns, closed=closed) for key in keys[at : at + AT_ONCE]])
    return found


async def _event(served: ServedNamespace, key: EventKey, now_ns: int, *, closed: bool) -> Event | None:
    where = covering(served.catalogue.slices, key.time_ns)
    if where is None or not where.sources or not (closed or served.lifetime.is_read(where, now_ns)):
        return None
    series, event_id = key.series.encode(), key.event_id.encode()
    prefix = placement.event_prefix(key.time_ns, event_id)
    partition, span = where.partition(series, key.time_ns, event_id), Span(prefix, placement.after_event(prefix))
    try:
        rows, whole = await rows_of_event(
            served.records, served.segments, where, partition, series, span, now_ns // 1_000, DEFAULT_BUDGET
        )
    except NotFound as error:
        await served.catalogue.check_there(where, error)
        # Dropped meanwhile.
        return None
    if not whole and not closed:
        raise partitions.too_large(prefix)
    return event_from(series, prefix, rows) if rows else None
