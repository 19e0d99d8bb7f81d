"""How the cluster does, as this process sees it: what readiness and metrics tell of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.core.measurement import Measurement
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.erasing import Eraser
from soundstage.engines.records.cassandra.failures import TooManyTombstones
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.requests import Requests

LOST_AFTER_NS = 3_000_000_000
"""No request was answered for so long while some failed: the stage is not ready."""

LOOK_EVERY_NS = 60_000_000_000
LOOK_FOR_NS = 1_000_000_000

REPAIR_WITHIN_S = 8 * 86_400
"""A week, and a day for the repair itself."""

_TOMBSTONES = "SELECT p99th, max FROM system_views.tombstones_per_read WHERE keyspace_name = ? AND table_name = ?"
_REPAIRS = (
    "SELECT status, finished_at FROM system_distributed.repair_history "
    "WHERE keyspace_name = ? AND columnfamily_name = ? ORDER BY id DESC LIMIT 1000"
)


class Vitals:
    """Looked at once a minute with `look`, which the sweeper calls; the rest is counted where it happens."""

    def __init__(self, link: Link, requests: Requests, eraser: Eraser, environment: Environment) -> None:
        self._link = link
        self._eraser = eraser
        self._requests = requests
        self._environment = environment
        self._looked_ns: int | None = None
        self._tombstones: dict[str, tuple[float, float]] = {}
        self._repaired_us: int | None = None

    @property
    def lost(self) -> str | None:
        """Why nothing can be asked of the cluster; None while requests are answered, or nothing was asked."""
        failing = self._requests.failing
        if failing is None or self._environment.monotonic_ns() - failing.since_ns < LOST_AFTER_NS:
            return None
        return f"{self._link.address.keyspace} on {', '.join(self._link.address.hosts)}: {failing.reason}"

    @property
    def warning(self) -> str | None:
        """What of the cluster should be seen to before it is lost."""
        states = self._link.nodes()
        down = sorted(name for name, is_up in states.items() if not is_up)
        if down:
            return f"nodes of Cassandra do not answer: {', '.join(down)}"
        missing = self._link.copies_missing()
        if missing is not None:
            return f"{missing}: raise its replication and repair it, or say so with the option replication"
        age_s = self._repair_age_s()
        if len(states) > 1 and age_s is not None and age_s > REPAIR_WITHIN_S:
            return f"the keyspace {self._link.address.keyspace} was repaired {age_s / 86_400:.0f} days ago"
        return self._unerased()

    def _unerased(self) -> str | None:
        found = self._eraser.overgrown
        if not found:
            return None
        keyspace = self._link.address.keyspace
        return (
            f"{found} records of dropped tables have too many dead rows to be erased: compact {keyspace} in Cassandra"
        )

    def measurements(self) -> Iterator[Measurement]:
        states, requests = self._link.nodes(), self._requests
        yield Measurement("cassandra_nodes", "nodes of the cluster that are known", len(states))
        yield Measurement("cassandra_nodes_up", "those of them that answer", sum(states.values()))
        yield Measurement("cassandra_in_flight_requests", "requests under way", requests.in_flight)
        yield Measurement("cassandra_waiting_requests", "requests that wait for their turn", requests.waiting)
        yield Measurement("cassandra_retried_requests", "requests that were sent again", requests.retried, "counter")
        yield Measurement(
            "cassandra_tombstone_failures_reads",
            "reads that met too many dead rows, and were done in smaller ranges",
            requests.overrun,
            "counter",
        )
        yield Measurement(
            "cassandra_unerased_records",
            "records of dropped tables with too many dead rows to be erased",
            self._eraser.overgrown,
        )
        for table, (p99, most) in sorted(self._tombstones.items()):
            for of, value in (("0.99", p99), ("1", most)):
                labels = {"table": table, "quantile": of}
                yield Measurement("cassandra_tombstones_per_read", "dead rows a read met", value, labels=labels)
        age_s = self._repair_age_s()
        if age_s is not None:
            yield Measurement("cassandra_repair_age_seconds", "time since the keyspace's last repair ended", age_s)

    async def look(self) -> None:
        """What the cluster says of itself is at most a minute old. What cannot be read is left as it was."""
        now_ns = self._environment.monotonic_ns()
        if self._looked_ns is not None and now_ns - self._looked_ns < LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        # A role may have no right to these tables, which are no part of ours.
        with suppress(SoundstageError, TooManyTombstones):
            await self._look()

    async def _look(self) -> None:
        keyspace = self._link.address.keyspace
        tombstones, repairs = await self._link.prepare(_TOMBSTONES, _REPAIRS)
        # Few nodes may hold all copies of these tables, as one node never does.
        deadline_ns = self._environment.monotonic_ns() + LOOK_FOR_NS
        for table in (schema.ROWS, schema.PAXOS, schema.DUE):
            rows = await self._requests.read(tombstones, (keyspace, table), deadline_ns, level=self._requests.one)
            if rows:
                self._tombstones[table] = (float(rows[0][0] or 0), float(rows[0][1] or 0))
        ended = [
            _ended_us(await self._requests.read(repairs, (keyspace, table), deadline_ns, level=self._requests.one))
            for table in (schema.ROWS, schema.PAXOS)
        ]
        # No newer than that of the table which was repaired longest ago.
        self._repaired_us = min(ended) or None

    def _repair_age_s(self) -> float | None:
        if self._repaired_us is None:
            return None
        return max(0.0, (self._environment.now_us() - self._repaired_us) / 1e6)


def _ended_us(sessions: Sequence[Any]) -> int:
    """When the last of them that succeeded ended; 0 where none is known."""
    ended: list[Any] = [finished for status, finished in sessions if status == "SUCCESS" and finished is not None]
    return round(max(ended).timestamp() * 1e6) if ended else 0
