"""Pages of entries, from what lanes bring, and who waits for some."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.engines.log import refusals
from soundstage.engines.log.arrivals import size_of
from soundstage.engines.log.kafka.asking import Asking
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.lane import Lane, Stream
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.membership import Place
from soundstage.engines.log.port import LogPage
from soundstage.engines.log.watch import Watch

SHOWN_PAUSE_S = 0.005
LANES_MAX = 4
"""Readers of one partition that go on side by side; more take turns, and each begins anew then."""


class Reading:
    """What one engine reads. A reader that goes on where its last page ended is served from what came meanwhile."""

    def __init__(self, link: Link, bridge: Bridge, asking: Asking, watch: Watch) -> None:
        self._link = link
        self._bridge = bridge
        self._asking = asking
        self._watch = watch
        self._lanes: list[Lane] = []
        self._patience_s = link.address.options.patience_s

    async def page(self, name: str, place: Place, offset: int, limit_entries: int, limit_bytes: int) -> LogPage:
        """A page of the topic `name`, which is `place` in Kafka."""
        lane, stream = self._picked(place, offset)
        async with stream.turn:
            try:
                return await self._page(name, lane, stream, offset, limit_entries, limit_bytes)
            finally:
                if stream.watchers:
                    # The stream may stand elsewhere now: they look where theirs is.
                    self._watch.tell(place)

    async def _page(
        self, name: str, lane: Lane, stream: Stream, offset: int, limit_entries: int, limit_bytes: int
    ) -> LogPage:
        if stream.next < 0 or stream.first != offset or not stream.entries or stream.error is not None:
            (bounds,) = await self._asking.bounds([stream.place])
            if offset > bounds.end:
                raise refusals.after_the_end(name, stream.place[1], offset, bounds.end)
            stream.start, stream.end = bounds
            offset = max(offset, bounds.start)
            if offset >= bounds.end:
                return LogPage([], bounds.end, bounds.start, bounds.end)
            if stream.first != offset or stream.next < 0 or stream.error is not None:
                lane.begin(stream, offset)
        return await self._filled(lane, stream, limit_entries, limit_bytes)

    async def _filled(self, lane: Lane, stream: Stream, limit_entries: int, limit_bytes: int) -> LogPage:
        ends_s = self._bridge.loop.time() + self._patience_s
        taken, size = stream.take(limit_entries, limit_bytes)
        while not (stream.entries or len(taken) >= limit_entries or stream.next >= stream.end):
            if stream.error is not None:
                raise stream.error
            if not await lane.more(stream, ends_s):
                if taken:
                    break
                self._give_up(lane)
                why = self._link.trouble or "nothing came"
                error = self._link.refused("not_applied") or Unavailable(
                    f"Kafka did not answer: {why}", hint="repeat the call", outcome="not_applied"
                )
                self._link.unanswered = error.detail
                raise error
            self._link.unanswered = None
            if taken and stream.entries and size + size_of(stream.entries[0]) > limit_bytes:
                break
            more, more_size = stream.take(limit_entries - len(taken), limit_bytes - size)
            taken, size = taken + more, size + more_size
        await self._know_bounds(stream)
        return LogPage(taken, stream.first, stream.start, max(stream.end, stream.next))

    async def _know_bounds(self, stream: Stream) -> None:
        """Nobody is told of an end before which there is more, nor of a start before what retention took."""
        if stream.gap or stream.first >= stream.end:
            (bounds,) = await self._asking.bounds([stream.place])
            stream.start, stream.end, stream.gap = bounds.start, bounds.end, False

    async def wait(self, ends: Mapping[Place, int], deadline_ns: int | None) -> None:
        """Something came at one of the places after these ends, or the deadline did, or it is time to look again."""
        used: list[tuple[Lane, Stream]] = []
        try:
            for place, end in ends.items():
                lane, stream = self._picked(place, end)
                lane.want(1)
                stream.watchers += 1
                used.append((lane, stream))
                if stream.turn.locked():
                    continue
                if stream.next != end or stream.error is not None:
                    lane.begin(stream, end)
                else:
                    lane.go_on(stream)
            await self._watch.until(ends, deadline_ns)
        finally:
            for lane, stream in used:
                lane.want(-1)
                stream.watchers -= 1

    async def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """Where the places end now."""
        asked = list(dict.fromkeys(places))
        return {place: bounds.end for place, bounds in zip(asked, await self._asking.bounds(asked), strict=True)}

    async def shown(self, ends: Mapping[Place, int], left_s: float | None = None) -> None:
        """Readers see the places up to these ends: Kafka tells them of a transaction a moment after it is committed.

        Committed it is, whatever comes of looking: it returns when its time is over, or Kafka does not answer.
        """
        ends_s = self._bridge.loop.time() + (self._patience_s if left_s is None else left_s)
        with suppress(SoundstageError, TimeoutError):
            async with asyncio.timeout_at(ends_s):
                while await self._behind(ends):
                    await self._bridge.pause(SHOWN_PAUSE_S)

    async def _behind(self, ends: Mapping[Place, int]) -> bool:
        now = await self.ends(ends) if ends else {}
        return any(now[place] < end for place, end in ends.items())

    def known_end(self, place: Place) -> int:
        """An end that the partition is known to have had."""
        return max((lane.streams[place].end for lane in self._lanes if place in lane.streams), default=0)

    def forget(self, topic: str) -> None:
        """The topic is gone."""
        for lane in self._lanes:
            for stream in [stream for place, stream in lane.streams.items() if place[0] == topic]:
                lane.drop(stream)

    async def close(self) -> None:
        """The clients have left."""
        lanes, self._lanes = self._lanes, []
        await asyncio.gather(*(lane.close() for lane in lanes))

    def _give_up(self, lane: Lane) -> None:
        """A client that brings nothing where there is something is no use; the next reader has another one."""
        if lane in self._lanes:
            self._lanes.remove(lane)
            lane.give_up()
            # Who watches what it was to bring looks again, at another one.
            for place in lane.streams:
                self._watch.tell(place)

    def _picked(self, place: Place, offset: int) -> tuple[Lane, Stream]:
        """A stream that is at `offset`, else one that nobody uses, else the least used lane's."""
        for lane in [lane for lane in self._lanes if lane.error is not None]:
            self._give_up(lane)
        idle: tuple[Lane, Stream] | None = None
        for lane in self._lanes:
            stream = lane.streams.get(place)
            if stream is None:
                idle = idle or (lane, lane.stream(place))
            elif not stream.turn.locked():
                if stream.first == offset:
                    return lane, stream
                if not (stream.waiters or stream.watchers or stream.entries):
                    idle = idle or (lane, stream)
        if idle is not None:
            return idle
        if len(self._lanes) < LANES_MAX:
            self._lanes.append(Lane(self._link, self._bridge, self._watch.tell))
            return self._lanes[-1], self._lanes[-1].stream(place)
        lane = self._lanes[hash(place) % LANES_MAX]
        return lane, lane.stream(place)
