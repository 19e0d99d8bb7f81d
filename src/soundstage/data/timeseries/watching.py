"""Follows the writes of a namespace of events."""

from __future__ import annotations

from collections.abc import Callable

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.data.changes.following import Asked, Follower
from soundstage.data.timeseries.api import EventWritten, WatchEvents
from soundstage.data.timeseries.events import check_series
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.watched import messages_of


class Watch(Follower[EventWritten]):
    """One who follows; `served` gives the namespace as it is now, and raises once it is gone."""

    def __init__(self, request: WatchEvents, served: Callable[[], ServedNamespace], environment: Environment) -> None:
        if request.time_series_id is not None:
            check_series(request.time_series_id, served().blocked, "time_series_id")
        wanted = _wanted(request, served)
        super().__init__(
            Asked(request.cursor, request.since, request.time_series_id, messages_of, wanted), served, environment
        )


def _wanted(request: WatchEvents, served: Callable[[], ServedNamespace]) -> Callable[[EventWritten], bool]:
    """Which events are told: those of an id, of ids that begin so, or all; of blocked ids none."""
    wanted, prefix = request.time_series_id, request.prefix
    if wanted is not None and prefix is not None:
        raise InvalidArgument(
            "both time_series_id and prefix are given", field="prefix", hint="give one of them, or neither"
        )

    def told(message: EventWritten) -> bool:
        series = message.event.time_series_id
        if series in served().blocked:
            return False
        return series == wanted if wanted is not None else series.startswith(prefix or "")

    return told
