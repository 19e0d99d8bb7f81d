"""The metrics of a stage as Prometheus reads them, collected from plain counters when they are asked for.

Names are `soundstage_<what>_<unit>`; labels are bounded by the catalogue and the stage file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from soundstage import __version__
from soundstage.runtime.following import BoundFeed
from soundstage.runtime.measurement import Measured, Measurement
from soundstage.runtime.statistics import Histogram

if TYPE_CHECKING:
    from soundstage.runtime.parts import Parts

_PLACE = ("system", "operation")


class DescribedMetric(NamedTuple):
    """A metric as the documentation shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def metrics_text(parts: Parts) -> bytes:
    """All metrics of one stage and of its process, in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(StageCollector(parts))
    return generate_latest(registry)


def described(parts: Parts) -> list[DescribedMetric]:
    """The metrics that a stage has at this moment, by name."""
    families = (_Labelled(family) for family in StageCollector(parts).collect())
    return sorted(DescribedMetric(each.name, each.type, each.labels, each.documentation) for each in families)


class _Labelled:
    """A family whose label names can be asked for; the library keeps them to itself."""

    def __init__(self, family: Metric) -> None:
        self.name, self.type, self.documentation = family.name, family.type, family.documentation
        self.labels: tuple[str, ...] = tuple(getattr(family, "_labelnames", ()))


class StageCollector:
    """Collects from the parts of one stage."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it is at this moment."""
        yield InfoMetricFamily("soundstage", "the release that runs", value={"version": __version__})
        yield from self._calls()
        yield from self._admission()
        yield from self._background()
        yield from self._feeds()
        yield from self._compute()
        yield from self._doors()
        yield from self._files()
        yield from families(self._measured())

    def _calls(self) -> Iterator[Metric]:
        begun = CounterMetricFamily("soundstage_calls_started", "calls begun", labels=_PLACE)
        failed = CounterMetricFamily(
            "soundstage_calls_failed", "calls that ended with an error", labels=(*_PLACE, "code")
        )
        cancelled = CounterMetricFamily("soundstage_calls_cancelled", "calls whose caller gave up", labels=_PLACE)
        latency = HistogramMetricFamily(
            "soundstage_call_seconds", "from admission to reply; of calls in process a sample", labels=_PLACE
        )
        for place, bound in self._parts.bound.items():
            begun.add_metric(place, bound.stats.calls)
            cancelled.add_metric(place, bound.stats.cancelled)
            _add(latency, place, bound.stats.latency)
            for code, count in bound.stats.failures.items():
                failed.add_metric((*place, code), count)
        yield from (begun, failed, cancelled, latency)

    def _admission(self) -> Iterator[Metric]:
        admission = self._parts.admission
        yield GaugeMetricFamily("soundstage_calls_in_flight", "calls that run", value=admission.in_flight)
        yield CounterMetricFamily("soundstage_calls_refused", "calls not let in by a bound", value=admission.refused)
        namespaces = GaugeMetricFamily("soundstage_namespaces", "namespaces served", labels=("abstraction",))
        counts: dict[str, int] = {}
        for info in self._parts.registry.infos.values():
            counts[info.abstraction] = counts.get(info.abstraction, 0) + 1
        for abstraction, count in counts.items():
            namespaces.add_metric((abstraction,), count)
        yield namespaces

    def _background(self) -> Iterator[Metric]:
        rounds = CounterMetricFamily("soundstage_background_rounds", "rounds of background work", labels=("round",))
        failures = CounterMetricFamily("soundstage_background_failures", "rounds that failed", labels=("round",))
        for each in self._parts.background.rounds:
            rounds.add_metric((each.name,), each.rounds)
            failures.add_metric((each.name,), each.failures)
        lag = HistogramMetricFamily(
            "soundstage_loop_lag_seconds", "how late the event loop runs what is due", labels=()
        )
        _add(lag, (), self._parts.loop_lag.lag)
        runner = self._parts.role_runner
        held = GaugeMetricFamily("soundstage_role_leases", "leases under which roles work here", value=len(runner.held))
        failed = CounterMetricFamily(
            "soundstage_role_failures", "times a role failed and was begun again", value=runner.persistence.failures
        )
        yield from (rounds, failures, lag, held, failed)
        yield from self._sweepers()
        yield from self._upkeep()

    def _feeds(self) -> Iterator[Metric]:
        messages = CounterMetricFamily("soundstage_feed_messages", "messages that followers took", labels=_PLACE)
        for place, bound in self._parts.bound.items():
            if isinstance(bound, BoundFeed):
                messages.add_metric(place, bound.messages)
        yield messages
        yield GaugeMetricFamily("soundstage_followers", "feeds being followed", value=self._parts.followers.count)
        yield GaugeMetricFamily(
            "soundstage_streams", "uploads and downloads under way", value=self._parts.streams.count
        )

    def _files(self) -> Iterator[Metric]:
        files = self._parts.files
        yield CounterMetricFamily(
            "soundstage_files_received_bytes", "bytes of files that were kept", value=files.received
        )
        yield CounterMetricFamily("soundstage_files_sent_bytes", "bytes of files that were read", value=files.sent)

    def _compute(self) -> Iterator[Metric]:
        load = GaugeMetricFamily("soundstage_compute_load", "pieces of work that run or wait", labels=("kind",))
        done = CounterMetricFamily("soundstage_compute_done", "pieces of work that ended", labels=("kind",))
        refused = CounterMetricFamily("soundstage_compute_refused", "pieces of work not taken", labels=("kind",))
        for lane in (self._parts.compute.threads, self._parts.compute.processes):
            load.add_metric((lane.kind,), lane.load)
            done.add_metric((lane.kind,), lane.done)
            refused.add_metric((lane.kind,), lane.refused)
        yield from (load, done, refused)

    def _doors(self) -> Iterator[Metric]:
        door = ("door",)
        connections = GaugeMetricFamily("soundstage_door_connections", "connections that are open", labels=door)
        opened = CounterMetricFamily("soundstage_door_connections_opened", "connections let in", labels=door)
        refused = CounterMetricFamily("soundstage_door_connections_refused", "connections not let in", labels=door)
        requests = CounterMetricFamily("soundstage_door_requests", "requests by a door's own protocol", labels=door)
        failures = CounterMetricFamily(
            "soundstage_door_failures", "of those, how many were answered with an error", labels=("door", "code")
        )
        received = CounterMetricFamily("soundstage_door_received_bytes", "bytes that callers sent", labels=door)
        sent = CounterMetricFamily("soundstage_door_sent_bytes", "bytes that callers were sent", labels=door)
        buffered = GaugeMetricFamily("soundstage_door_buffered_bytes", "requests that are half there", labels=door)
        for name, found in self._parts.doors.statistics().items():
            connections.add_metric((name,), found.connections)
            opened.add_metric((name,), found.opened)
            refused.add_metric((name,), found.refused)
            requests.add_metric((name,), found.requests)
            received.add_metric((name,), found.received)
            sent.add_metric((name,), found.sent)
            buffered.add_metric((name,), found.buffered)
            for code, count in found.failures.items():
                failures.add_metric((name, code), count)
        yield from (connections, opened, refused, requests, failures, received, sent, buffered)

    def _sweepers(self) -> Iterator[Metric]:
        now_us = self._parts.environment.now_us()
        purged = CounterMetricFamily("soundstage_sweeper_purged_rows", "dead rows removed", labels=("engine",))
        backlog = GaugeMetricFamily("soundstage_sweeper_backlog_rows", "dead rows due", labels=("engine",))
        overdue = GaugeMetricFamily("soundstage_sweeper_overdue_seconds", "age of the oldest due", labels=("engine",))
        for sweeper in self._parts.sweepers:
            purged.add_metric((sweeper.name,), sweeper.purged)
            backlog.add_metric((sweeper.name,), sweeper.backlog)
            overdue.add_metric((sweeper.name,), sweeper.overdue_s(now_us))
        removed = CounterMetricFamily(
            "soundstage_log_removed_entries", "entries removed by retention and compaction", labels=("engine",)
        )
        for log_sweeper in self._parts.log_sweepers:
            removed.add_metric((log_sweeper.name,), log_sweeper.removed)
        yield from (purged, backlog, overdue, removed)

    def _upkeep(self) -> Iterator[Metric]:
        compacted = CounterMetricFamily(
            "soundstage_tables_compacted", "times that small files of a table became one", labels=("engine",)
        )
        expired = CounterMetricFamily(
            "soundstage_tables_expired_snapshots", "past snapshots removed", labels=("engine",)
        )
        removed = CounterMetricFamily(
            "soundstage_tables_removed_files", "files removed that no snapshot needs", labels=("engine",)
        )
        failures = CounterMetricFamily(
            "soundstage_tables_upkeep_failures", "tables that upkeep had to leave as they were", labels=("engine",)
        )
        for each in self._parts.upkeeps:
            compacted.add_metric((each.name,), each.compacted)
            expired.add_metric((each.name,), each.expired)
            removed.add_metric((each.name,), each.removed)
            failures.add_metric((each.name,), each.failures)
        yield from (compacted, expired, removed, failures)

    def _measured(self) -> Iterator[tuple[dict[str, str], Measurement]]:
        for name, engine in self._parts.engines.distinct().items():
            if isinstance(engine, Measured):
                yield from (({"engine": name}, each) for each in engine.measurements())
        for watched in self._parts.watched:
            yield from (({}, each) for each in watched.measurements())
        for name, service in self._parts.systems.open_services().items():
            if isinstance(service, Measured):
                yield from (({"system": name}, each) for each in service.measurements())


def families(measured: Iterable[tuple[dict[str, str], Measurement]]) -> Iterator[Metric]:
    """Measurements of one name as one family, with the labels of where they are from."""
    found: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for where, each in measured:
        labels = {**where, **each.labels}
        family = found.get(each.name)
        if family is None:
            kind = CounterMetricFamily if each.kind == "counter" else GaugeMetricFamily
            family = found[each.name] = kind(f"soundstage_{each.name}", each.help, labels=tuple(labels))
        family.add_metric(tuple(labels.values()), each.value)
    yield from found.values()


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> None:
    """`histogram`, kept in nanoseconds, as cumulated buckets in seconds."""
    seen = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(
        (*(f"{bound / 1e9:g}" for bound in histogram.bounds), "+Inf"), histogram.counts, strict=True
    ):
        seen += count
        buckets.append((bound, seen))
    family.add_metric(labels, buckets, histogram.total / 1e9)
