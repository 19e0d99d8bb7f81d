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
from soundstage.data.timeseries.slices import covering
from soundstage.engines.records.port import DEFAULT_BUDGET, Row, Span

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
    if where is None or not where.made or not (closed or served.lifetime.is_read(where, now_ns)):
        return None
    series, event_id = key.series.encode(), key.event_id.encode()
    prefix = placement.event_prefix(key.time_ns, event_id)
    partition, rows = where.partition(series, key.time_ns, event_id), list[Row]()
    resume: bytes | None = prefix
    size = 0
    while resume is not None and size <= partitions.EVENT_MAX_BYTES:
        span = Span(resume, placement.after_event(prefix))
        try:
            page = await served.records.read(where.table, partition, span, DEFAULT_BUDGET, now_ns // 1_000)
        except NotFound:
            # Dropped meanwhile.
            return None
        rows += page.rows
        size += sum(len(row_key) + len(cell) for row_key, cell in page.rows)
        resume = page.resume
    if resume is not None and not closed:
        raise partitions.too_large(prefix)
    return event_from(series, prefix, rows) if rows else None
