"""What `--plot` draws of time series: events per interval, of one id by its pages and of all ids by the index."""

from __future__ import annotations

from soundstage.core.plots import Plot

PLOTS: dict[str, Plot] = {
    "read_event_records": Plot(
        events="events",
        title=("namespace", "time_series_id"),
        narrowed=("event_filters",),
        start="time_interval.start",
        end="time_interval.end",
        rows="records",
        at="event_time",
    ),
    "aggregate_event_records": Plot(
        events="events",
        title=("namespace",),
        narrowed=("search_query",),
        start="time_interval.start",
        end="time_interval.end",
        rows="buckets",
        at="start_time",
        width="aggregation_query.time_histogram.interval",
        count="count",
    ),
}
