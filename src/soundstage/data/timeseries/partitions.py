"""Reads events from a list of partitions, newest first: one stream of what lies in several places.

Whoever has the list decides where the events of an id are; how they come out does not depend on it. All partitions
of a reader may have events of the same time. What is read of each is in order, and the least key is the next event
once every partition has shown its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from soundstage.core.errors import TooLarge
from soundstage.core.time import Instant
from soundstage.core.together import all_or_none
from soundstage.data.timeseries.placement import TIME_BYTES, event_of, prefix_of
from soundstage.engines.records.port import Budget, Page, Row, Span

EVENT_MAX_BYTES = 32 << 20
"""Of one event, which is held whole: items may be added to it by many writes."""

TAIL_MAX_BYTES = 4 << 20
"""Of what is read at once of one event."""

_LAST = b"\xff" * (TIME_BYTES + 1)
"""Greater than every key."""

Found = tuple[bytes, list[Row], int]
"""The prefix of an event's keys, its rows, and the bytes that these have."""


def too_large(prefix: bytes) -> TooLarge:
    """The refusal to hold an event whose keys begin so."""
    time_ns, event_id = event_of(prefix)
    return TooLarge(
        f"the event {event_id.decode()[:80]!r} of {Instant(time_ns)} has more than {EVENT_MAX_BYTES} bytes",
        field="time_interval",
        hint="read the time before and behind it",
    )


class _Part:
    """One partition, read as far as `resume`; None: to its end."""

    __slots__ = ("events", "partition", "resume", "tail", "tail_bytes", "tail_prefix")

    def __init__(self, partition: bytes, resume: bytes) -> None:
        self.partition = partition
        self.resume: bytes | None = resume
        self.events: deque[Found] = deque()
        self.tail: list[Row] = []
        self.tail_bytes: int = 0
        self.tail_prefix: bytes = b""

    @property
    def next(self) -> bytes | None:
        """The prefix of its next event, which may not be whole; None: not known, or there is none."""
        return self.events[0][0] if self.events else self.tail_prefix if self.tail else None

    def budget(self, budget: Budget) -> Budget:
        """`budget`, or as much as is at hand of an event that is not whole: a large one takes few reads."""
        size = min(self.tail_bytes, TAIL_MAX_BYTES)
        if self.events or size <= budget.bytes:
            return budget
        likely = None if budget.likely_rows is None else len(self.tail)
        return Budget(max(budget.rows, len(self.tail)), size, budget.deadline_ns, likely)

    def take(self, rows: Sequence[Row], resume: bytes | None) -> int:
        """`rows` came next. The last event is whole when another begins, or the partition ends. Returns their bytes."""
        # By names of its own: a page has hundreds of rows.
        prefix, tail, size, before = self.tail_prefix, self.tail, self.tail_bytes, -self.tail_bytes
        for row in rows:
            key, cell = row
            if tail and key.startswith(prefix):
                tail.append(row)
                size += len(key) + len(cell)
                continue
            if tail:
                self.events.append((prefix, tail, size))
                before += size
            prefix, tail, size = prefix_of(key), [row], len(key) + len(cell)
        taken = before + size
        if size > EVENT_MAX_BYTES and not self.events:
            raise too_large(prefix)
        self.resume = resume
        if resume is None and tail:
            self.events.append((prefix, tail, size))
            tail, size = [], 0
        self.tail_prefix, self.tail, self.tail_bytes = prefix, tail, size
        return taken


class Readable(Protocol):
    """What has partitions: an engine with a table of them, or segments, in which each series is one."""

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page: ...


class PartitionReader:
    """The events of `partitions` of one table in a span, each partition from the span's start on.

    `read` counts the calls of the store, `read_bytes` what they returned.
    """

    __slots__ = ("_looked", "_parts", "_records", "_span", "_table", "read", "read_bytes", "read_rows")

    def __init__(self, records: Readable, table: str, partitions: Sequence[bytes], span: Span) -> None:
        self._records = records
        self._table = table
        self._span = span
        self._parts = [_Part(partition, span.start) for partition in partitions]
        self._looked: tuple[_Part | None, list[_Part]] | None = None
        self.read: int = 0
        self.read_bytes: int = 0
        self.read_rows: int = 0

    def __len__(self) -> int:
        """How many partitions there are."""
        return len(self._parts)

    @property
    def is_dry(self) -> bool:
        """Whether the next event is not known, or not whole, before there is another `fill`."""
        return bool(self._look()[1])

    @property
    def is_over(self) -> bool:
        """Whether every event was taken."""
        return not any(part.events or part.resume is not None for part in self._parts)

    @property
    def dry(self) -> int:
        """How many partitions the next `fill` reads."""
        return len(self._look()[1])

    async def fill(self, budget: Budget, now_us: int) -> None:
        """Every dry partition was read on once, all at the same time; `budget` is for each."""
        await all_or_none([self._fill(part, budget, now_us) for part in self._look()[1]])

    def peek(self) -> bytes | None:
        """The prefix of the next event, None where there is none. Not to be asked while it `is_dry`."""
        first = self._look()[0]
        return None if first is None else first.next

    def pop(self, most: int) -> list[Found]:
        """The next events, at least one and at most `most`, as far as one partition has them one after another.

        Not to be asked while it `is_dry`, or `is_over`.
        """
        first = self._look()[0]
        assert first is not None
        events, self._looked = first.events, None
        least = min((part.next or _LAST for part in self._parts if part is not first), default=_LAST)
        if len(events) <= most and events[-1][0] < least:
            found = list(events)
            events.clear()
            return found
        found = [events.popleft()]
        while events and len(found) < most and events[0][0] < least:
            found.append(events.popleft())
        return found

    def _look(self) -> tuple[_Part | None, list[_Part]]:
        """Of the partitions whose next event is known the one whose is first, and those that are dry.

        An event that is not whole waits for its turn: of all that are large one is held.
        """
        if self._looked is None:
            first, least, dry = None, b"", list[_Part]()
            for part in self._parts:
                prefix = part.next
                if prefix is None:
                    if part.resume is not None:
                        dry.append(part)
                elif first is None or prefix < least:
                    first, least = part, prefix
            self._looked = first, (dry if first is None or first.events else [*dry, first])
        return self._looked

    async def _fill(self, part: _Part, budget: Budget, now_us: int) -> None:
        assert part.resume is not None
        span = Span(part.resume, self._span.end)
        page = await self._records.read(self._table, part.partition, span, part.budget(budget), now_us)
        self.read += 1
        self.read_rows += len(page.rows)
        self.read_bytes += part.take(page.rows, page.resume)
        self._looked = None
