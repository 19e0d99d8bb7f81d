"""Fire-and-forget writes: what a process took is stored soon after, unless it ends first, and nothing is uncounted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries.api import Event
from soundstage.data.timeseries.buffer import Buffer
from soundstage.data.timeseries.draining import PAUSE_MAX_S
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.timeseries.book import Book, Moment
from soundstage.testing.simulation.timeseries.rules import History

COALESCE_S = 1.0
"""How long what comes waits for what is stored with it."""

LOST_S = PAUSE_MAX_S + 3 * COALESCE_S
"""Where all is well what was taken so long ago is lost by no crash; a store that was not may be left alone so long."""


class Queueing:
    """`buffer` is the queue of the process that serves; `sees` looks which slices there are; `stored` is told."""

    def __init__(
        self,
        site: Site,
        book: Book,
        history: History,
        buffer: Callable[[], Buffer],
        sees: Callable[[], Awaitable[None]],
        stored: Callable[[Sequence[Event], Moment], None],
    ) -> None:
        self._site = site
        self._book = book
        self._history = history
        self._buffer = buffer
        self._sees = sees
        self._stored = stored

    async def watch(self, events: list[Event], began: Moment, now: Callable[[], Moment], restarts: int) -> None:
        """The `events` were taken by the process of that number; what becomes of them is as it must be."""
        host = self._site.host
        if host.restarts != restarts or not host.is_up:
            return
        calm, buffer = host.calm(), self._buffer()
        taken, dropped = buffer.taken, buffer.dropped
        await self._site.environment.sleep(LOST_S)
        if buffer.taken != buffer.drained + buffer.dropped + buffer.events:
            raise Divergence(
                f"of {buffer.taken} queued events {buffer.drained} were stored, {buffer.dropped} dropped, and "
                f"{buffer.events} wait"
            )
        if host.restarts != restarts or not host.is_up:
            self._site.note("queue_lost")
            return
        # Others have queued events since, which may wait.
        left = buffer.drained + buffer.dropped < taken
        if calm is not None and calm == host.calm() and (buffer.dropped > dropped or left):
            raise Divergence(f"queued events wait after {LOST_S} s, or were dropped: {buffer.events} {buffer.dropped}")
        if buffer.dropped == dropped and not buffer.events:
            await self._sees()
            ended = now()
            # What was stored in a slice that nobody has seen since is not told of when that is dropped.
            lasting = [each for each in events if self._history.is_shown(each.event_time, began.ns, ended.ns)]
            self._book.stores(lasting, began, ended)
            self._stored(lasting, began)
            self._site.note("queued")


def knobs() -> dict[str, object]:
    """As a namespace has them."""
    return {"coalesce": f"{round(COALESCE_S * NS_PER_S)}ns"}
