"""Where a read goes on, inside a page token: behind the last event, wherever it lies."""

from __future__ import annotations

import msgspec

READ = "timeseries/read_event_records/1"
SEARCH = "timeseries/search_event_records/1"


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """`resume` is the least key of the next event: its time, and perhaps its id. It names no partition.

    `generation` is the namespace's, `records_left` what is left of `total_record_limit`, `needed` the partitions that
    the pages of this walk needed. `stalled`: the page before ended at its objective where it began.
    """

    generation: int
    resume: bytes
    records_left: int | None
    needed: float
    stalled: bool = False
