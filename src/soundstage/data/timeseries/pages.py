"""What the console shows of time series: slices on a time line, sizes of partitions, and events by id and interval."""

from __future__ import annotations

from soundstage.core.panels import Asked, Bars, Panel, Query, Sizes, Spans

PANELS: tuple[Panel, ...] = (
    Spans(
        title="Slices",
        about="A slice holds the events of its time in a table of its own, and is dropped whole. Choose one to see its "
        "partitions and ask for its events.",
        operation="list_slices",
        rows="slices",
        label="table",
        start="start",
        end="end",
        state="state",
        empty="No slice yet: the first is made when an event is written.",
        columns=(("segment_bytes", "in files", "bytes"),),
        sizes=Sizes(
            operation="partition_histogram",
            rows="slices",
            label="table",
            columns=(
                ("total_bytes", "size, about", "bytes"),
                ("partitions", "partitions", "count"),
                ("bytes.p99", "p99 of a partition", "bytes"),
            ),
        ),
    ),
    Bars(
        title="Partitions",
        about="Keys and values of each partition of the slice. 99 of 100 are best between 2 and 10 MiB.",
        operation="partition_histogram",
        rows="slices",
        label="table",
        buckets="buckets",
        at="bytes_from",
        count="partitions",
        tables=(("bytes", "bytes", "bytes"), ("rows", "items", "count")),
        empty="Nobody has measured this slice yet, it is empty, or it lies in files, which have no partitions.",
    ),
    Query(
        title="Events",
        about="Those of one id in an interval, the newest first.",
        operation="read_event_records",
        fields=(
            Asked(name="time_series_id", label="id", required=True),
            Asked(
                name="time_interval.start", label="from", kind="instant", required=True, offset_s=-86_400, span="start"
            ),
            Asked(name="time_interval.end", label="before", kind="instant", required=True, offset_s=60, span="end"),
            Asked(name="page_size", label="events a page", kind="number", hint="such as 25"),
            Asked(
                name="event_filters",
                label="filters",
                kind="pairs",
                keys=("match_event_item_key", "match_event_item_value"),
                hint="item=value, one a line",
            ),
        ),
        empty="No event of this id in the interval.",
    ),
)
