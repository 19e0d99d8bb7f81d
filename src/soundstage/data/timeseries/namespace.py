"""A namespace of time series as this process serves it: what its configuration means for each call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.core.hlc import TokenClock
from soundstage.core.time import INT64_MAX
from soundstage.data.changes.topics import ChangeTopic
from soundstage.data.pagination import RowEstimate, max_ns
from soundstage.data.timeseries.api.signals import TimeSeriesSignals
from soundstage.data.timeseries.buffer import Buffer
from soundstage.data.timeseries.catalogue import Catalogue
from soundstage.data.timeseries.config import (
    Layout,
    NamespaceConfig,
    accept_limit_ns,
    check_together,
    kept,
    layout,
)
from soundstage.data.timeseries.events import Window
from soundstage.data.timeseries.fanout import FanOut
from soundstage.data.timeseries.feed import Feed
from soundstage.data.timeseries.layouts import Layouts
from soundstage.data.timeseries.segments.reading import Segments
from soundstage.data.timeseries.signalling import announced, signals_of
from soundstage.data.timeseries.slices import Lifetime
from soundstage.data.timeseries.watched import WatchedRecords, bulk_of
from soundstage.engines.records.port import Bulk, Capability, Records, TableSpec
from soundstage.runtime.service import Logs, NamespaceView
from soundstage.runtime.system_table import SystemTable

SYSTEM = "timeseries"

ELSEWHERE = frozenset({Capability.COSTLY_CONDITIONS, Capability.SHARED, Capability.HOSTED})
"""What engines can whose calls cross a network or a process."""


class Tally:
    """What was done for a namespace since the start."""

    __slots__ = ("partitions_read", "read", "refused", "written")

    def __init__(self) -> None:
        self.written: int = 0
        self.refused: int = 0
        self.read: int = 0
        self.partitions_read: int = 0


class ServedNamespace:
    """One version of one namespace. What was learnt of it, `catalogue` and `buffer` are handed on to the next one."""

    __slots__ = (
        "announced",
        "blocked",
        "buffer",
        "bulk",
        "catalogue",
        "changes",
        "config",
        "dedicated",
        "elsewhere",
        "environment",
        "fan_out",
        "feed",
        "layout",
        "lifetime",
        "max_ns",
        "name",
        "records",
        "row_bytes",
        "rows_per_event",
        "segments",
        "signals",
        "table",
        "tally",
        "view",
    )

    def __init__(
        self,
        view: NamespaceView,
        environment: Environment,
        clock: TokenClock,
        logs: Logs,
        segments: Segments,
        before: ServedNamespace | None = None,
        changes: ChangeTopic | None = None,
    ) -> None:
        config: NamespaceConfig = view.config
        if before is not None and before.view.generation != view.generation:
            before = None
        # What waits is stored in the engine that the namespace is bound to by then.
        self.buffer: Buffer = Buffer() if before is None else before.buffer
        if before is not None and before.view.records is not view.records:
            before = None
        self.view: NamespaceView = view
        self.name: str = view.name
        self.config: NamespaceConfig = config
        self.changes: ChangeTopic | None = changes
        watched = None if changes is None else WatchedRecords(view.records, changes)
        self.records: Records = watched or view.records
        self.bulk: Bulk | None = bulk_of(view.records, watched)
        self.environment: Environment = environment
        self.segments: Segments = segments
        self.blocked: frozenset[str] = frozenset(config.blocked_ids)
        self.layout: Layout = layout(config)
        self.lifetime: Lifetime = Lifetime(accept_limit_ns(config), kept(config))
        self.signals: TimeSeriesSignals = signals_of(view)
        self.announced: str = announced(self.signals)
        self.max_ns: int | None = max_ns(view, "read_event_records")
        # Where rows of many tables lie together a cluster removes those of a dropped one each by itself.
        self.dedicated: bool = Capability.COSTLY_CONDITIONS in view.records.capabilities
        self.elsewhere: bool = bool(ELSEWHERE & view.records.capabilities)
        self.feed: Feed | None = None if config.index is None else Feed(view, config.index, logs)
        self.table: SystemTable = SystemTable(view.records, view.name, clock, environment, SYSTEM)
        self.catalogue: Catalogue = (
            Catalogue(self.table, view.records, f"{self.table.name}/{view.generation}_", Layouts(self.table).of)
            if before is None
            else before.catalogue
        )
        needed = float(config.fan_out) if before is None else before.fan_out.needed
        self.fan_out: FanOut = FanOut(needed, config.fan_out_max, elsewhere=self.elsewhere)
        self.row_bytes: RowEstimate = RowEstimate() if before is None else before.row_bytes
        self.rows_per_event: RowEstimate = RowEstimate(1.0) if before is None else before.rows_per_event
        self.tally: Tally = Tally() if before is None else before.tally

    def window(self, now_ns: int) -> Window:
        """Which times of events are taken now."""
        limit_ns = self.lifetime.accept_ns
        oldest_ns = None if limit_ns is None else now_ns - limit_ns
        return Window(oldest_ns, min(now_ns + self.config.accept_future, INT64_MAX))

    async def cover(self, times: Iterable[int]) -> None:
        """Every one of `times` lies in a slice."""
        await self.catalogue.cover(times, self.layout, dedicated=self.dedicated)


def tables(name: str, config: NamespaceConfig, capabilities: frozenset[str]) -> Sequence[TableSpec]:
    """The table that tells which slices there are; these have tables of their own, made when they are needed.

    Raises `InvalidArgument` for what the engine cannot do.
    """
    check_together(config)
    if Capability.CONDITIONAL not in capabilities:
        raise InvalidArgument(
            "the engine takes no conditional writes, by which processes agree on the time slices there are",
            hint="bind the namespace to another engine",
        )
    # A disk that is near full gets room by slices that are dropped, which is noted here first.
    return [TableSpec(name=f"{SYSTEM}/{name}", conditional=True, own=True)]
