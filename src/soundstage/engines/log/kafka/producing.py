"""Appends on their way: what each call was told so far, and how much is under way at once.

A call ends when its time is over. What it sent stays with the driver until Kafka has decided, and takes up room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import repeat
from typing import Any, TypeAlias, cast

from soundstage.core.errors import Forbidden, NotFound, Outcome, SoundstageError, Unauthenticated, Unavailable
from soundstage.engines.log import refusals
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import KafkaException
from soundstage.engines.log.kafka.failures import failure, late, repeated, too_many
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.opening import Openings
from soundstage.engines.log.port import Entry, Headers, Spot

SERVE_FIRST_S, SERVE_LAST_S = 0.0005, 0.01
"""How soon the driver is asked again what arrived, while something is under way."""

SERVE_LATER = 1.25
"""So much longer is each pause than the one before: what has arrived is heard of a fifth later than it might be."""

FLUSH_S = 1.0
"""For what was handed over when the engine stops."""

Over: TypeAlias = Callable[[Outcome], SoundstageError]
"""What a call is told whose time is over."""

US_HEADER = "soundstage-us"
"""What a producer's own time has beyond its milliseconds, which are all that Kafka keeps; and no time there is 0."""


class Arrivals:
    """Of so many entries: their offsets by partition, as Kafka tells them, and what went wrong first."""

    def __init__(self, count: int) -> None:
        self.offsets: dict[int, list[int | None]] = {}
        self.error: Any = None
        self.left: int = count

    @property
    def unsure(self) -> bool:
        """Whether Kafka did not say where something is: it had it before, or took it for what it had."""
        return any(None in offsets for offsets in self.offsets.values())

    def hear(self, error: Any, message: Any) -> bool:
        """One entry has arrived, or has not; whether it was the last."""
        if error is None:
            partition = message.partition()
            if partition in self.offsets:
                self.offsets[partition].append(message.offset())
            else:
                self.offsets[partition] = [message.offset()]
        elif self.error is None:
            self.error = error
        self.left -= 1
        return not self.left

    def spots(self, places: Sequence[int]) -> list[Spot]:
        """Where the entries are, of which each was to go to its place; those of a place keep their order.

        Only where it is not `unsure`.
        """
        if len(self.offsets) == 1:
            ((place, offsets),) = self.offsets.items()
            return list(map(Spot, repeat(place), cast("list[int]", offsets)))
        following = {place: iter(offsets) for place, offsets in self.offsets.items()}
        return [Spot(place, cast("int", next(following[place]))) for place in places]


class Sending(Arrivals):
    """One call, and who waits for what becomes of it."""

    def __init__(self, told: asyncio.Future[Any], count: int) -> None:
        super().__init__(count)
        self.told: asyncio.Future[Any] = told


class Producing:
    """A client of the driver that appends, and is asked what became of that for as long as something is under way.

    It needs no thread: one that heard of each entry would take turns with the event loop for each.
    """

    def __init__(self, link: Link, bridge: Bridge) -> None:
        self._link = link
        self._bridge = bridge
        self._producer: Any = link.producer()
        self._openings = Openings(bridge.loop.time)
        self._patience_s = link.address.options.patience_s
        self._room = link.address.options.in_flight
        self._free = self._room
        self._waiting_max = link.address.options.waiting
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._left: list[Any] = []
        self._broken = False
        self._closed = False
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._pause_s = SERVE_FIRST_S

    async def append(
        self, topic: str, entries: Sequence[Entry], places: Sequence[int], now_us: int, size: int, left_s: float | None
    ) -> list[Spot]:
        """The entries are at their places, on as many brokers as the topic demands.

        `left_s`: of real time, instead of patience. A call that is over may still append, once, when brokers are back.
        """
        taken = min(self._room, size + 100 * len(entries))
        ends_s = self._bridge.loop.time() + (self._patience_s if left_s is None else left_s)
        over: Over = self._link.silence if left_s is None else late
        await self._take(taken, ends_s, over)
        try:
            await self._others_open(topic, places, ends_s, over)
        except BaseException:
            self._give(taken)
            raise
        sending = Sending(self._bridge.promise(), len(entries))
        # Who is cancelled leaves; what it sent goes on, and gives back its room then.
        sending.told.add_done_callback(lambda _: self._give(taken))
        if sending.told.done():
            # The engine stops: who is told that nothing was done must be right.
            await sending.told
        try:
            self._send(topic, entries, places, now_us, sending)
            self._under_way += 1
            # However long others have waited, this one may be quick.
            self._pause_s = SERVE_FIRST_S
            self._serve()
        except BaseException:
            sending.told.cancel()
            raise
        await self._heard(sending, ends_s, over)
        return sending.spots(places)

    def forget(self, topic: str) -> None:
        """The topic is gone."""
        self._openings.forget(topic)

    async def _others_open(self, topic: str, places: Sequence[int], ends_s: float, over: Over) -> None:
        """Nobody else is at the first entry of this client at any of `places`."""
        while (opening := self._openings.under_way(topic, places)) is not None:
            try:
                async with asyncio.timeout_at(ends_s):
                    await asyncio.wait([opening])
            except TimeoutError:
                raise over("not_applied") from None
            if self._closed:
                raise refusals.stopped()

    def _send(self, topic: str, entries: Sequence[Entry], places: Sequence[int], now_us: int, sending: Sending) -> None:
        if self._broken:
            self._renew()
        unknown = self._openings.unknown(topic, places)
        if unknown:
            self._open(topic, entries, places, now_us, sending, unknown)
        else:
            produce(self._producer, topic, entries, places, now_us, self._listener(sending, places))

    def _open(
        self,
        topic: str,
        entries: Sequence[Entry],
        places: Sequence[int],
        now_us: int,
        sending: Sending,
        unknown: Sequence[int],
    ) -> None:
        """An entry goes to each of the places in `unknown`, and all else when those are there."""
        producer, openings = self._producer, self._openings
        heads = [places.index(place) for place in unknown]
        first = frozenset(heads)
        rest = [number for number in range(len(entries)) if number not in first]
        left = len(heads)

        def heard(error: Any, message: Any) -> None:
            nonlocal left
            sending.hear(error, message)
            left -= 1
            if left:
                return
            arrived = sending.error is None and not sending.unsure
            if arrived and rest:
                others, theirs = [entries[number] for number in rest], [places[number] for number in rest]
                try:
                    produce(producer, topic, others, theirs, now_us, self._listener(sending, theirs))
                except SoundstageError as error:
                    self._end_with(sending, error)
            else:
                self._ended(sending)
            openings.end(topic, unknown, known=arrived)

        openings.begin(topic, unknown)
        try:
            produce(producer, topic, [entries[number] for number in heads], unknown, now_us, heard)
        except BaseException:
            openings.end(topic, unknown, known=False)
            raise

    def _listener(self, sending: Sending, places: Sequence[int]) -> Any:
        if sending.left > 1 and places.count(places[0]) < len(places):
            hear = sending.hear

            def heard(error: Any, message: Any) -> None:
                if hear(error, message):
                    self._ended(sending)

            return heard
        # Most calls have one place, and this is done for each entry.
        add = sending.offsets.setdefault(places[0], []).append
        left = sending.left

        def heard_of_one(error: Any, message: Any) -> None:
            nonlocal left
            if error is None:
                add(message.offset())
            elif sending.error is None:
                sending.error = error
            left -= 1
            if not left:
                self._ended(sending)

        return heard_of_one

    def _serve(self) -> None:
        """The driver has told what arrived, and is asked again soon while something is under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        served = self._told()
        self._left = [left for left in self._left if len(left)]
        if served:
            self._pause_s = SERVE_FIRST_S
        if self._under_way and not self._closed:
            self._timer = self._bridge.loop.call_later(self._pause_s, self._serve)
            self._pause_s = min(SERVE_LAST_S, SERVE_LATER * self._pause_s)

    def _told(self) -> int:
        """How much the driver told of what became of entries."""
        served = 0
        for producer in (self._producer, *self._left):
            try:
                served += producer.poll(0)
            except KafkaException:
                # So it says that a client appends no more; of its entries it tells when it is asked again.
                self._broken = self._broken or producer is self._producer
                served += 1
        if self._broken and self._under_way:
            self._renew()
        return served

    def _ended(self, sending: Sending) -> None:
        self._under_way -= 1
        if sending.told.done():
            return
        if sending.error is None:
            if sending.unsure:
                sending.told.set_exception(repeated())
            else:
                self._link.unanswered = None
                sending.told.set_result(None)
            return
        # The driver would not append anything more with this client.
        self._broken = self._broken or sending.error.fatal()
        found = failure(sending.error).error
        if isinstance(found, Unavailable) or sending.error.fatal():
            # Parts of a call may have been sent, whatever its first part met with.
            found = self._doubtful(found)
        elif isinstance(found, NotFound) or any(sending.offsets.values()):
            # A broker that has just come back may not know a topic that has taken it already.
            found.outcome = "unknown"
        sending.told.set_exception(found)

    def _end_with(self, sending: Sending, error: SoundstageError) -> None:
        """Part of the call has arrived, and the driver took no more of it."""
        self._under_way -= 1
        error.outcome = "unknown"
        if not sending.told.done():
            sending.told.set_exception(error)

    def _doubtful(self, found: SoundstageError) -> SoundstageError:
        if not isinstance(found, (Forbidden, Unauthenticated)):
            why = "" if self._link.trouble is None else f" ({self._link.trouble})"
            said = Unavailable(f"{found.detail}{why}", hint=found.hint)
            found = self._link.refused("unknown") or said
            self._link.unanswered = found.detail
        found.outcome = "unknown"
        return found

    async def _heard(self, sending: Sending, ends_s: float, over: Over) -> None:
        """Returns when all of it is acknowledged; whoever waits is told when time is over."""
        try:
            async with asyncio.timeout_at(ends_s):
                await asyncio.shield(sending.told)
        except TimeoutError:
            error = over("unknown")
            self._link.unanswered = error.detail
            raise error from None

    def _renew(self) -> None:
        """A client in place of one that appends no more, which still has to tell what became of its entries."""
        self._broken = False
        with suppress(KafkaException):
            # It would keep what it cannot send for good.
            self._producer.purge(blocking=False)
        self._left.append(self._producer)
        self._openings.leave()
        self._producer, self._openings = self._link.producer(), Openings(self._bridge.loop.time)

    async def _take(self, size: int, ends_s: float, over: Over) -> None:
        if self._closed:
            raise refusals.stopped()
        if not self._queue and self._free >= size:
            self._free -= size
            return
        if len(self._queue) >= self._waiting_max:
            raise too_many(self._waiting_max)
        turn: asyncio.Future[None] = self._bridge.loop.create_future()
        self._queue.append((size, turn))
        try:
            async with asyncio.timeout_at(ends_s):
                await turn
        except TimeoutError:
            self._leave(size, turn)
            raise over("not_applied") from None
        except asyncio.CancelledError:
            self._leave(size, turn)
            raise

    def _leave(self, size: int, turn: asyncio.Future[None]) -> None:
        with suppress(ValueError):
            # It would count as one that waits for as long as brokers are away.
            self._queue.remove((size, turn))
        had_its_turn = not turn.cancelled() and turn.done() and turn.exception() is None
        self._give(size if had_its_turn else 0)

    def _give(self, size: int) -> None:
        self._free += size
        while self._queue and (self._queue[0][1].done() or self._queue[0][0] <= self._free):
            wanted, turn = self._queue.popleft()
            if not turn.done():
                self._free -= wanted
                turn.set_result(None)

    async def close(self) -> None:
        """What was handed over is sent, if that can be done soon; and no more is. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for _, turn in self._queue:
            if not turn.done():
                turn.set_exception(refusals.stopped())
        self._openings.leave()
        await self._bridge.finish(self._end, "soundstage-kafka-producing-end")

    def _end(self) -> None:
        # A client that may send nothing any more says so by raising.
        flush = partial(self._producer.flush, FLUSH_S)
        for step in (flush, self._producer.purge, flush):
            with suppress(KafkaException):
                step()
        self._producer, self._left = None, []


def produce(
    producer: Any, topic: str, entries: Sequence[Entry], places: Sequence[int], now_us: int, heard: Any
) -> None:
    """The driver has all entries; `heard` is told of each. Raises the tree's errors."""
    hand_over, now_ms = producer.produce, now_us // 1_000
    sent = 0
    try:
        for entry, place in zip(entries, places, strict=True):
            time_us = entry.time_us
            if time_us is not None:
                time_ms = time_us // 1_000 or 1
                more = _headers(entry.headers, time_us - time_ms * 1_000)
                hand_over(topic, entry.value, entry.key, place, heard, None, time_ms, more)
            elif entry.headers:
                hand_over(topic, entry.value, entry.key, place, heard, None, now_ms, list(entry.headers))
            else:
                # Most entries have neither, and this is done for each.
                hand_over(topic, entry.value, entry.key, place, heard, None, now_ms)
            sent += 1
    except Exception as error:
        # What was handed over before goes on by itself.
        found = failure(error)
        if sent:
            found.error.outcome = "unknown"
        raise found.error from error


def _headers(headers: Headers, beyond_us: int) -> Any:
    if not beyond_us:
        return list(headers) or None
    return [*headers, (US_HEADER, b"%d" % beyond_us)]
