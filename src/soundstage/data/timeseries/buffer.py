"""Events that were taken and are not stored yet: a bounded queue in memory, and how fast it is emptied.

What is in it is lost with its process. It is emptied at a steady pace, so that a burst reaches the store spread over
time, and what it cannot hold is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from math import exp, inf
from typing import NamedTuple

from soundstage.core.errors import Exhausted
from soundstage.core.limits import CALL_MAX_BYTES, CALL_MAX_ITEMS
from soundstage.core.measurement import Measurement
from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries.events import Record

ROW_BYTES = 100
"""What an item takes in memory besides its bytes."""

AVERAGED_S = 120.0
"""About how far back the average of what comes goes: five seconds of ten times as much raise it by a third."""

LEARNT_S = 10.0
"""For how long a process does not know yet how much comes, and writes it as it comes."""

SAVED_S = 0.1
"""What a short turn may leave to those after it: a millisecond of sleep may take two."""

HEADROOM = 1.25
PER_SECOND_LEAST = 1_000.0
"""Where nothing is provisioned: fewer events than that are a burden to no store."""

RETRY_AFTER_MAX_MS = 60_000


class Queued(NamedTuple):
    """An event, and the bytes that it takes."""

    record: Record
    size: int


class Pace:
    """How many events may be written, by what is provisioned, or by how many came of late."""

    __slots__ = ("_arrived", "_began_ns", "_credit", "_looked_ns", "_paid_ns")

    def __init__(self) -> None:
        self._arrived = 0.0
        self._began_ns: int | None = None
        self._looked_ns = 0
        self._credit = 0.0
        self._paid_ns: int | None = None

    def arrive(self, events: int, now_ns: int) -> None:
        """So many came, whether they were taken or refused."""
        if self._began_ns is None:
            self._began_ns = self._looked_ns = now_ns
        self._fade(now_ns)
        self._arrived += events

    def per_second(self, provisioned: int | None, now_ns: int) -> float:
        """Events to write in a second; without end before there is anything to go by."""
        if provisioned is not None:
            return float(provisioned)
        if self._began_ns is None:
            return inf
        known_s = (now_ns - self._began_ns) / NS_PER_S
        if known_s < LEARNT_S:
            return inf
        self._fade(now_ns)
        average = self._arrived / (AVERAGED_S * (1.0 - exp(-known_s / AVERAGED_S)))
        return max(PER_SECOND_LEAST, average * HEADROOM)

    def pay(self, per_second: float, turn_s: float, now_ns: int) -> float:
        """Events that may be written in this turn. No more is saved for it than comes in a turn, or in `SAVED_S`."""
        passed_s = turn_s if self._paid_ns is None else (now_ns - self._paid_ns) / NS_PER_S
        self._paid_ns = now_ns
        self._credit = min(self._credit + per_second * passed_s, max(1.0, per_second * max(turn_s, SAVED_S)))
        return self._credit

    def spend(self, events: int) -> None:
        """So many were written, of what was paid."""
        if self._credit != inf:
            self._credit -= events

    def _fade(self, now_ns: int) -> None:
        self._arrived *= exp(-(now_ns - self._looked_ns) / NS_PER_S / AVERAGED_S)
        self._looked_ns = now_ns


class Buffer:
    """The queue of one namespace in one process. What is being written counts until it is `done`.

    Counters grow from the start of the process on. `turn_ns` is how long what comes waits for what is stored with it.
    """

    __slots__ = ("_queue", "bytes", "drained", "dropped", "events", "pace", "refused", "taken", "turn_ns")

    def __init__(self) -> None:
        self._queue: deque[Queued] = deque()
        self.pace: Pace = Pace()
        self.turn_ns: int = 0
        self.events: int = 0
        self.bytes: int = 0
        self.taken: int = 0
        self.refused: int = 0
        self.drained: int = 0
        self.dropped: int = 0

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._queue)

    def offer(self, records: Sequence[Record], capacity: int, provisioned: int | None, now_ns: int) -> None:
        """All `records` are queued. Raises `Exhausted` when they have no room, and none of them is.

        A queue that is empty takes any call.
        """
        queued = [Queued(record, _size(record)) for record in records]
        size = sum(each.size for each in queued)
        self.pace.arrive(len(records), now_ns)
        if self.events and self.bytes + size > capacity:
            self.refused += len(records)
            raise self._full(self.bytes + size - capacity, provisioned, now_ns)
        self._queue.extend(queued)
        self.events += len(queued)
        self.bytes += size
        self.taken += len(queued)

    def take(self, most: float) -> list[Queued]:
        """The first of them, up to `most` and to what one write may have."""
        batch, rows, size = list[Queued](), 0, 0
        while self._queue and len(batch) < most:
            first = self._queue[0]
            rows, size = rows + len(first.record.rows), size + first.size
            if batch and (rows > CALL_MAX_ITEMS or size > CALL_MAX_BYTES):
                break
            batch.append(self._queue.popleft())
        return batch

    def put_back(self, batch: Sequence[Queued]) -> None:
        """`batch` comes behind all others: what keeps it from being stored is not to hold them up."""
        self._queue.extend(batch)

    def done(self, batch: Sequence[Queued], *, stored: bool) -> None:
        """`batch`, which was taken, is stored, or never will be."""
        self.events -= len(batch)
        self.bytes -= sum(each.size for each in batch)
        if stored:
            self.drained += len(batch)
        else:
            self.dropped += len(batch)

    def measurements(self, labels: Mapping[str, str]) -> Iterator[Measurement]:
        """What came in and went out; what a crash lost is what was taken, and neither stored nor dropped."""
        for metric, help, value in (
            ("timeseries_queue_events_taken", "Events queued to be stored later", self.taken),
            ("timeseries_queue_events_stored", "Events stored out of the queue", self.drained),
            ("timeseries_queue_events_dropped", "Events queued that will never be stored", self.dropped),
            ("timeseries_queue_events_refused", "Events that had no room in the queue", self.refused),
        ):
            yield Measurement(metric, help, value, "counter", labels)
        yield Measurement("timeseries_queue_events", "Events that wait to be stored", self.events, "gauge", labels)
        yield Measurement("timeseries_queue_bytes", "What they take in memory", self.bytes, "gauge", labels)

    def _full(self, excess: int, provisioned: int | None, now_ns: int) -> Exhausted:
        events = excess * self.events / max(1, self.bytes)
        wait_ms = 1_000 * events / self.pace.per_second(provisioned, now_ns)
        return Exhausted(
            f"{self.events} events wait to be stored, and there is no room for more",
            field="events",
            hint="retry after the time given; the namespace's knobs are queue_buffering.buffer_capacity and "
            "queue_buffering.drain_per_second",
            retry_after_ms=min(RETRY_AFTER_MAX_MS, max(1, round(wait_ms))),
        )


def _size(record: Record) -> int:
    return len(record.series) + sum(len(key) + len(cell) + ROW_BYTES for key, cell in record.rows)
