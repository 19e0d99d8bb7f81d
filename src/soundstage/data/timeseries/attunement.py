"""What clients of time series do of themselves: a call that is late is sent a second time, for events never change."""

from __future__ import annotations

from typing import Any

from soundstage.core.operation import Operation
from soundstage.core.untouched import Untouched
from soundstage.data.timeseries.api import TimeSeriesCalls
from soundstage.data.timeseries.api.signals import TimeSeriesHandshake

CONCERNED = (
    "write_event_records_sync",
    "read_event_records",
    "search_event_records",
    "aggregate_event_records",
    "list_slices",
)
"""Not the write that is answered at once: it would wait in two queues."""


def _question(namespace: str) -> tuple[Operation[..., Any], Any]:
    return TimeSeriesCalls.handshake, TimeSeriesHandshake(namespace=namespace)


ATTUNEMENT = Untouched(CONCERNED, _question)
