"""Follows one id live by reads: its events as they come, of a namespace that keeps no feed too.

Each look reads what is newer than what was shown, and once a second a little before it, where events may still come in.
Where nothing comes it looks ever more seldom; where writes are watched it looks when there was one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, InvalidArgument, NotFound
from soundstage.core.feed import Position
from soundstage.core.time import INT64_MAX, INT64_MIN, NS_PER_S, Instant
from soundstage.data.pagination import Patience
from soundstage.data.timeseries.api import PAGE_SIZE_MAX, Event, Tail, TailedEvent
from soundstage.data.timeseries.events import check_series
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.placement import key_of_time
from soundstage.data.timeseries.reads import PageReading, Wanted
from soundstage.engines.log import port
from soundstage.engines.log.arrivals import partition_of

PAUSE_S, PAUSE_MAX_S, PAUSE_GROWTH = 0.2, 5.0, 1.5
"""Between two looks, of which the first found something, and the others nothing; and the least, whatever is written."""

BEHIND_NS = 10 * NS_PER_S
"""Events that come so much later than newer ones are shown yet."""

BACK_NS = NS_PER_S
"""Between two looks at what comes late: an id that is busy has many times more behind it than new."""

EVENTS_MAX = PAGE_SIZE_MAX
BYTES_MAX = 64 << 20
"""Of what one look shows, which is held whole until its oldest event is found: events, and bytes of their items."""


class Tailing:
    """One who follows an id; `served` gives the namespace as it is now, and raises once it is gone."""

    def __init__(self, request: Tail, served: Callable[[], ServedNamespace], environment: Environment) -> None:
        first = served()
        self._series = check_series(request.time_series_id, first.blocked, "time_series_id")
        self._served = served
        self._environment = environment
        self._generation = first.view.generation
        self._from_ns = _beginning(request, environment.now_ns())
        self._newest_ns = self._from_ns
        self._come_ns = self._from_ns
        self._back_ns = self._from_ns
        self._looked_back_ns: int | None = None
        self._shown: set[tuple[int, str]] = set()
        self._written = 0
        self._looked_ns = 0

    async def messages(self) -> AsyncGenerator[TailedEvent | Position]:
        """Events from where it begins, those of a look in the order of time; ends only by being closed, or an error."""
        yield Position(str(self._newest_ns))
        pause_s = PAUSE_S
        while True:
            await self._mark()
            back = self._looked_back_ns is None or self._looked_ns - self._looked_back_ns >= BACK_NS
            events = await self._look(self._back_ns if back else max(self._from_ns, self._come_ns))
            for event in events:
                self._newest_ns = max(self._newest_ns, int(event.event_time))
                yield TailedEvent(cursor=str(self._newest_ns), event=event)
            # One that is ahead of the clock hides none that come in their time.
            self._come_ns = max(self._come_ns, min(self._newest_ns, self._environment.now_ns()))
            if back:
                self._looked_back_ns = self._looked_ns
                self._back_ns = max(self._from_ns, self._come_ns - BEHIND_NS)
            self._forget()
            pause_s = PAUSE_S if events else min(PAUSE_MAX_S, pause_s * PAUSE_GROWTH)
            await self._news(pause_s)

    async def _look(self, start_ns: int) -> list[Event]:
        """What is there from then on and was not shown, the oldest first."""
        served, now_ns = self._current(), self._environment.now_ns()
        await served.catalogue.refresh()
        end_ns = min(now_ns + served.config.accept_future + 1, INT64_MAX)
        found, size, resume = list[Event](), 0, key_of_time(end_ns - 1)
        next_resume: bytes | None = resume
        while next_resume is not None and start_ns < end_ns:
            wanted = Wanted(self._series, start_ns, next_resume, {}, PAGE_SIZE_MAX, None)
            patience = Patience(self._environment, None, None)
            page = await PageReading(served, wanted, self._environment, patience, partial=False).run()
            fresh = [each for each in page.events if (int(each.event_time), each.event_id) not in self._shown]
            found += fresh
            size += sum(len(item.event_item_value) for each in fresh for item in each.event_items)
            next_resume = page.resume
            if len(found) > EVENTS_MAX or size > BYTES_MAX:
                raise Exhausted(
                    f"more than {EVENTS_MAX} events or {BYTES_MAX} bytes came since {Instant(start_ns)}",
                    field="since",
                    hint="begin later, and read those before by read_event_records",
                    retryable=False,
                )
        self._shown.update((int(each.event_time), each.event_id) for each in found)
        return found[::-1]

    def _forget(self) -> None:
        """Only what another look would find again is remembered."""
        self._shown = {each for each in self._shown if each[0] >= self._back_ns}

    async def _mark(self) -> None:
        """A look begins. What is written from here on is news, where writes are watched."""
        self._looked_ns = self._environment.monotonic_ns()
        changes = self._current().changes
        if changes is not None:
            log = await changes.open()
            part = partition_of(self._series, changes.partitions)
            self._written = (await log.bounds(changes.topic))[part].end

    async def _news(self, pause_s: float) -> None:
        """It is time for another look: something was written, or the pause is over."""
        changes = self._current().changes
        if changes is None:
            await self._environment.sleep(pause_s)
            return
        log = await changes.open()
        position = port.Position(changes.topic, partition_of(self._series, changes.partitions), self._written)
        until_ns = self._environment.monotonic_ns() + round(PAUSE_MAX_S * NS_PER_S)
        if self._looked_back_ns is not None and self._looked_back_ns < self._looked_ns:
            # What was written may be late: a look back is to find it, though nothing more is written.
            until_ns = min(until_ns, self._looked_back_ns + BACK_NS)
        await log.wait([position], until_ns)
        # Others write without end, and of this id there may be nothing.
        passed_s = (self._environment.monotonic_ns() - self._looked_ns) / NS_PER_S
        await self._environment.sleep(max(0.0, PAUSE_S - passed_s))

    def _current(self) -> ServedNamespace:
        served = self._served()
        if served.view.generation != self._generation:
            raise NotFound(
                f"the namespace {served.name!r} was deleted; another one has its name now",
                field="namespace",
                hint="follow that one without a cursor",
            )
        return served


def _beginning(request: Tail, now_ns: int) -> int:
    """The time of the first event that is shown."""
    cursor = request.cursor
    if cursor is None:
        return now_ns if request.since is None else int(request.since)
    try:
        found = int(cursor)
    except ValueError:
        found = INT64_MAX + 1
    if not INT64_MIN <= found <= INT64_MAX or str(found) != cursor:
        raise InvalidArgument(
            f"the cursor {cursor[:80]!r} is none of this feed",
            field="cursor",
            hint="send the cursor of a message as it came, or none for what comes",
        )
    return found
