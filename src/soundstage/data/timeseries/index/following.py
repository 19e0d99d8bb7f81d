"""How far the feed of an index was read, and whether anything of it was missed."""

from __future__ import annotations

from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.data.timeseries.feed import Feed
from soundstage.engines.log.port import Commit, Groups, Log, LogPage, Position

FEED_ENTRIES = 4_000
"""Writes of one event each are told of by as many entries; a call of a search engine takes about so many."""

FEED_BYTES = 1 << 20


class Following:
    """Reads the feed of one namespace. `missed`: something went before it was read, or may have."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._committed: int | None = None
        self.missed: bool = False

    def rest(self) -> None:
        """Nothing is known any more: others may read on."""
        self._offset, self._committed, self.missed = None, None, False

    async def read(self, feed: Feed, *, one: bool) -> tuple[Log, LogPage]:
        """The log, and what comes next in the feed, or but `one` entry of it; the same again until it is committed."""
        opened, most = await feed.open(), 1 if one else FEED_ENTRIES
        try:
            page = await opened.read(feed.topic, 0, await self._begin(opened, feed.topic), most, FEED_BYTES)
        except (InvalidArgument, NotFound):
            # Somebody dropped the topic, and another of its name begins.
            opened = await feed.open(again=True)
            (bounds,) = await opened.bounds(feed.topic)
            self._offset, self._committed, self.missed = bounds.start, None, True
            page = await opened.read(feed.topic, 0, bounds.start, most, FEED_BYTES)
        if page.start > (self._offset or 0):
            self._offset, self.missed = page.start, True
        return opened, page

    async def commit(self, opened: Log, topic: str, offset: int) -> None:
        """What comes before `offset` is not read again, here or, where the log remembers it, after a restart."""
        self._offset = offset
        if offset == self._committed or not isinstance(opened, Groups) or await self.is_another(opened, topic):
            return
        await opened.commit(Commit(group=topic, positions=[Position(topic, 0, offset)]))
        self._committed = offset

    async def is_another(self, opened: Log, topic: str) -> bool:
        """Whether the topic is not the one that was read from: a position goes with its topic. Told once, and noted."""
        if self._committed is None or not isinstance(opened, Groups) or await opened.committed(topic, topic):
            return False
        self._committed, self.missed = None, True
        return True

    async def _begin(self, opened: Log, topic: str) -> int:
        """Where the feed goes on. One of which nobody knows how far it was read may have been read by nobody."""
        if self._offset is None:
            found = await opened.committed(topic, topic) if isinstance(opened, Groups) else {}
            (bounds,) = await opened.bounds(topic)
            self._committed = found.get(0)
            self.missed = self._committed is None
            self._offset = bounds.start if self._committed is None else self._committed
        return self._offset
