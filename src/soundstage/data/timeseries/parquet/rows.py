"""Events in columns, as Arrow and Parquet have them: a row for each, with its items as a map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from soundstage.data.parquet import writing
from soundstage.data.parquet.library import arrow, compute
from soundstage.data.parquet.writing import Shape
from soundstage.data.timeseries.api import Event

KIND = "timeseries"
"""What files of ours say that they have."""

ITEMS = "event_items"

ROW_BYTES = 64
ITEM_BYTES = 16
"""What a row and an item take besides their bytes, for bounds on memory."""


@cache
def schema() -> Any:
    """The columns of a file of ours."""
    pa = arrow()
    return pa.schema(
        [
            pa.field("time_series_id", pa.string(), False),
            pa.field("event_time", pa.timestamp("ns", tz="UTC"), False),
            pa.field("event_id", pa.string(), False),
            pa.field(ITEMS, pa.map_(pa.string(), pa.binary()), False),
        ]
    )


def shape() -> Shape:
    """How a file of ours is written."""
    few = ["time_series_id", f"{ITEMS}.key_value.key"]
    return Shape(schema(), few=few, ordered=["time_series_id", "event_time", "event_id"])


class Rows:
    """Events that wait to be written. `bytes` are about what they take here."""

    def __init__(self) -> None:
        self.bytes: int = 0
        self.items: int = 0
        self.size: int = 0
        self.columns: list[list[Any]] = [[] for _ in range(4)]

    @property
    def count(self) -> int:
        return len(self.columns[0])

    def take(self, events: Sequence[Event]) -> None:
        """The events are the last ones. For a thread."""
        for event in events:
            found = [(item.event_item_key, item.event_item_value) for item in event.event_items]
            self._take(event.time_series_id, int(event.event_time), event.event_id, found)

    def split(self, at: int) -> tuple[Rows, Rows]:
        """The first `at` events, and those behind them. For a thread."""
        first, rest = Rows(), Rows()
        for number, row in enumerate(zip(*self.columns, strict=True)):
            (first if number < at else rest)._take(*row)
        return first, rest

    def _take(self, series: str, time_ns: int, event_id: str, items: list[tuple[str, bytes]]) -> None:
        for column, value in zip(self.columns, (series, time_ns, event_id, items), strict=True):
            column.append(value)
        size = sum(len(key.encode()) + len(value) for key, value in items)
        self.items += len(items)
        self.size += size
        self.bytes += ROW_BYTES + len(series) + len(event_id) + size + ITEM_BYTES * len(items)

    def packed(self) -> bytes:
        """The rows in few bytes, with checksums, to be put aside. For a thread."""
        return writing.packed(self.columns, schema())


def bytes_in(batch: Any) -> int:
    """Bytes of keys and values of the items of a batch. For a thread."""
    pc, column = compute(), batch.column(ITEMS)
    first, last = (column.offsets[at].as_py() for at in (0, -1))
    parts = (each.slice(first, last - first) for each in (column.keys, column.items))
    return sum(pc.sum(pc.binary_length(part)).as_py() or 0 for part in parts)
