"""A client of the driver that reads, and what it brought of each partition and nobody has taken yet.

All calls of the driver are made in a thread, since each of them may wait for brokers. What the thread brought before
it went elsewhere with a stream is passed over: it tells when it has gone.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from soundstage.core.errors import SoundstageError
from soundstage.engines.log.arrivals import size_of
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import END_OF_PARTITION, KafkaException, TopicPartition
from soundstage.engines.log.kafka.failures import failure
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.producing import US_HEADER
from soundstage.engines.log.membership import Place
from soundstage.engines.log.port import Stored

POLL_S = 0.02
"""For so long the thread does not hear that it is to go elsewhere."""

CLOSE_S = 5.0
ROUND_MESSAGES = 5_000
STREAMS_MAX = 4_096
IDLE_S = 60.0
AHEAD_BYTES = 8 << 20
"""Of one partition, read before anybody asks."""


class EndOfPartition:
    """There is nothing before this offset any more, and nothing from it on yet."""

    __slots__ = ("offset",)

    def __init__(self, offset: int) -> None:
        self.offset: int = offset


class Brought:
    """What came of one partition at once, in order; `size`: of its entries, `others`: besides entries."""

    __slots__ = ("others", "parts", "size")

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.others: int = 0
        self.size: int = 0


class Stream:
    """What was brought of one partition. `first`: the offset that the next page would begin at.

    `watchers` wait for what comes after `next`, whoever reads it.
    """

    def __init__(self, place: Place) -> None:
        self.place: Place = place
        self.entries: deque[Stored] = deque()
        self.size: int = 0
        self.first: int = -1
        self.next: int = -1
        self.start: int = 0
        self.end: int = 0
        self.gap: bool = False
        self.error: SoundstageError | None = None
        self.going: int = 0
        self.paused: bool = False
        self.turn: asyncio.Lock = asyncio.Lock()
        self.waiters: set[asyncio.Future[None]] = set()
        self.watchers: int = 0

    def begin(self, offset: int) -> None:
        """The stream goes on from `offset`."""
        self.entries.clear()
        self.first = self.next = offset
        self.size, self.gap, self.error = 0, False, None

    def bring(self, brought: Brought) -> None:
        """Takes what came."""
        self.size += brought.size
        parts = brought.parts
        if not brought.others and parts[0].offset == self.next and parts[-1].offset == self.next + len(parts) - 1:
            self.entries.extend(parts)
            self.next += len(parts)
            return
        for part in parts:
            self._bring(part)

    def _bring(self, part: Stored | EndOfPartition | SoundstageError) -> None:
        if isinstance(part, SoundstageError):
            self.error = part
        elif isinstance(part, EndOfPartition):
            self.next = max(self.next, part.offset)
        elif part.offset >= self.next:
            self.gap = self.gap or part.offset > self.next
            self.entries.append(part)
            self.next = part.offset + 1

    def take(self, limit_entries: int, limit_bytes: int) -> tuple[list[Stored], int]:
        """The first entries, within the limits but for one, and the bytes they have."""
        if self.size <= limit_bytes and len(self.entries) <= limit_entries:
            taken, size = list(self.entries), self.size
            self.entries.clear()
        else:
            taken, size = list[Stored](), 0
            while self.entries and len(taken) < limit_entries:
                more = size_of(self.entries[0])
                if taken and size + more > limit_bytes:
                    break
                size += more
                taken.append(self.entries.popleft())
        # What was brought twice was counted twice.
        self.size = max(0, self.size - size) if self.entries else 0
        self.first = self.entries[0].offset if self.entries else self.next
        return taken, size

    def wake(self) -> None:
        """Whoever waits looks again."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()


class Lane:
    """Streams of one client. `heard` is told of each place of which something came.

    `error` says why the client has failed, and brings nothing more.
    """

    def __init__(self, link: Link, bridge: Bridge, heard: Callable[[Place], None]) -> None:
        self.streams: dict[Place, Stream] = {}
        self.error: SoundstageError | None = None
        self._bridge = bridge
        self._heard = heard
        self._consumer: Any = link.consumer("soundstage-readers")
        self._orders: deque[Callable[[], object]] = deque()
        self._wanted = threading.Event()
        self._wanting = 0
        self._closed = False
        self._rest: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="soundstage-kafka-reader", daemon=True)
        self._thread.start()

    def stream(self, place: Place) -> Stream:
        """The stream of a place, which may have to begin yet."""
        found = self.streams.get(place)
        if found is None:
            if len(self.streams) >= STREAMS_MAX:
                self._drop_the_oldest()
            found = self.streams[place] = Stream(place)
        return found

    def begin(self, stream: Stream, offset: int) -> None:
        """What comes next of the stream is what stands at `offset` and after it."""
        at = TopicPartition(*stream.place, offset)
        if stream.next < 0:
            move = partial(self._consumer.incremental_assign, [at])
        else:
            if stream.paused:
                self._order(self._consumer.resume, [at])
            move = partial(self._consumer.seek, at)
        stream.going += 1
        stream.paused = False
        stream.begin(offset)
        # Who looked for its place while the client failed is told so, too.
        stream.error = self.error
        self._order(self._move, move, stream)

    def _move(self, move: Callable[[], object], stream: Stream) -> None:
        """One order, for what is brought between the move and the word of it would be passed over."""
        try:
            move()
        finally:
            self._bridge.tell(self._gone, stream)

    def drop(self, stream: Stream) -> None:
        """Nothing more comes of the stream."""
        if self.streams.pop(stream.place, None) is not None and stream.next >= 0:
            self._order(self._consumer.incremental_unassign, [TopicPartition(*stream.place)])
        stream.wake()

    def go_on(self, stream: Stream) -> None:
        """More is brought of the stream, though much was brought ahead."""
        if stream.paused:
            stream.paused = False
            self._order(self._consumer.resume, [TopicPartition(*stream.place)])

    async def more(self, stream: Stream, ends_s: float) -> bool:
        """Something came of the stream, or an error; false when nothing did until then, by the loop's clock."""
        self.go_on(stream)
        waiter = self._bridge.promise()
        stream.waiters.add(waiter)
        self.want(1)
        try:
            async with asyncio.timeout_at(ends_s):
                await waiter
                return True
        except TimeoutError:
            return False
        finally:
            stream.waiters.discard(waiter)
            self.want(-1)

    def want(self, more: int) -> None:
        """So many more, or fewer, wait for what this lane brings. The driver itself reads on for a while."""
        self._wanting += more
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._wanting > 0:
            self._wanted.set()
        elif not self._closed:
            self._rest = self._bridge.loop.call_later(IDLE_S, self._drop_all)

    def give_up(self) -> None:
        """The thread ends as soon as the driver lets it, and nobody waits for that."""
        self._closed = True
        if self._rest is not None:
            self._rest.cancel()
        self._wanted.set()

    async def close(self) -> None:
        """The client has left the cluster, the thread has ended, unless the driver holds it for long."""
        self.give_up()
        await self._bridge.ended(self._thread, CLOSE_S)

    def _order(self, call: Callable[..., object], *values: Any) -> None:
        self._orders.append(lambda: call(*values))
        self._wanted.set()

    def _gone(self, stream: Stream) -> None:
        stream.going -= 1

    def _drop_all(self) -> None:
        """Nobody has read for long: the brokers are not asked any more."""
        for stream in list(self.streams.values()):
            if not stream.turn.locked():
                self.drop(stream)

    def _drop_the_oldest(self) -> None:
        unused = (each for each in self.streams.values() if not (each.turn.locked() or each.waiters or each.watchers))
        oldest = next(unused, None)
        if oldest is not None:
            self.drop(oldest)

    def _bring(self, places: dict[Place, Brought]) -> None:
        for place, brought in places.items():
            stream = self.streams.get(place)
            if stream is None or stream.going or stream.next < 0:
                continue
            stream.bring(brought)
            if stream.size > AHEAD_BYTES and not stream.paused:
                stream.paused = True
                self._order(self._consumer.pause, [TopicPartition(*place)])
            stream.wake()
            self._heard(place)

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._closed:
                self._leave()
                return
            self._obey()
            if self._wanting <= 0:
                self._wanted.clear()
                if self._wanting > 0 or self._orders or self._closed:
                    self._wanted.set()
                continue
            try:
                first = self._consumer.poll(POLL_S)
                messages = [] if first is None else [first, *self._consumer.consume(ROUND_MESSAGES, 0)]
            except Exception as error:  # noqa: BLE001 - handed to whoever reads
                self._bridge.tell(self._fail, failure(error, reading=True).error)
                self._leave()
                return
            if messages:
                self._bridge.tell(self._bring, sorted_by_place(messages))

    def _fail(self, error: SoundstageError) -> None:
        """Who waits is told; what reads here next does so at another lane."""
        self.error = error
        for place, stream in self.streams.items():
            stream.error = error
            stream.wake()
            self._heard(place)

    def _leave(self) -> None:
        with suppress(KafkaException, RuntimeError):
            self._consumer.close()

    def _obey(self) -> None:
        while self._orders:
            # What it was told of partitions that are gone, the driver refuses; readers learn of that by themselves.
            with suppress(KafkaException, RuntimeError):
                self._orders.popleft()()


def sorted_by_place(messages: list[Any]) -> dict[Place, Brought]:
    """What the driver handed over, by partition, in its order."""
    found: dict[Place, Brought] = {}
    topic, partition, brought = "", -1, Brought()
    for message in messages:
        if message.partition() != partition or message.topic() != topic:
            topic, partition = message.topic(), message.partition()
            brought = Brought() if topic is None else found.setdefault((topic, partition), Brought())
        error = message.error()
        if error is None:
            entry = stored(message)
            brought.parts.append(entry)
            # Headers count little, and few have them.
            brought.size += len(message) + len(entry.key or b"")
        else:
            brought.others += 1
            at_end = error.code() == END_OF_PARTITION
            brought.parts.append(EndOfPartition(message.offset()) if at_end else failure(error, reading=True).error)
    return found


def stored(message: Any) -> Stored:
    """An entry as it stands in Kafka."""
    time_us = message.timestamp()[1] * 1_000
    headers = message.headers()
    if headers is None:
        return Stored(message.offset(), time_us, message.key(), message.value())
    if headers[-1][0] == US_HEADER:
        time_us += int(headers.pop()[1])
    return Stored(message.offset(), time_us, message.key(), message.value(), tuple(headers))
