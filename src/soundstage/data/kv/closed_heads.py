"""The heads that a process closes before it writes to records of a namespace with a cache, and opens afterwards.

Whatever is kept of a record counts for nothing from then on, before the store has the write, so that a writer may die
at any moment. Where the cache cannot be told, the write is made all the same, and the process **owes** it the word: it
asks the store for such records until it has given it. It says with it until when writes of its own may still come, also
those that ended without anybody knowing. The most that anybody else can see meanwhile is what was true
when it was kept, for as long as that is kept.

A cache may lose a closed head, and whoever reads then makes another and fills in what is being replaced. So a write is
answered only once its head has been changed again, which voids that too.
"""

from __future__ import annotations

import asyncio

from soundstage.data.kv.cache_entries import CLOSED_US, NONCE_BYTES, SEEN_MAX, Head, Writer, head_key
from soundstage.data.kv.cache_tier import FAILURES_MAX, Away, CacheTier
from soundstage.data.kv.doubts import Doubts
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Stamp

TRIES = 6
"""How often a head is changed anew when others change it meanwhile; then it is closed for all of them."""

OWED_MAX = 10_000
"""Records; with more the cache is not asked at all until nothing can be left of what it should have been told."""

REPEAT_S = 1.0
"""How often the word that is owed is given again."""


class Closing:
    """The writers of this process beside each other at one record, who close its head once for all of them.

    `owed`: the cache may not know that they write.
    """

    __slots__ = (
        "done",
        "doubtful",
        "id",
        "is_closed",
        "next_renewal",
        "opening",
        "owed",
        "renewal",
        "until_us",
        "writers",
        "written",
    )

    def __init__(self, id: bytes, until_us: int) -> None:
        self.id: bytes = id
        self.until_us: int = until_us
        self.writers: int = 0
        self.written: list[Stamp] = []
        self.doubtful: bool = False
        self.is_closed: bool = False
        self.owed: bool = False
        self.done: asyncio.Event = asyncio.Event()
        self.opening: asyncio.Task[None] | None = None
        self.renewal: asyncio.Task[None] | None = None
        self.next_renewal: asyncio.Task[None] | None = None

    def wrote(self, stamp: Stamp) -> None:
        """One more is written; what a head keeps of them all, the greatest and the last, is remembered."""
        self.written.append(stamp)
        if len(self.written) > 2 * SEEN_MAX:
            self.written = [max(self.written), *self.written[-SEEN_MAX:]]


class ClosedHeads:
    """Those of one namespace."""

    def __init__(self, tier: CacheTier) -> None:
        self._tier = tier
        self._environment = tier.environment
        self._closings: dict[bytes, Closing] = {}
        self._unopened: dict[bytes, set[Closing]] = {}
        self._doubts = Doubts(self._environment, OWED_MAX)
        self._owed: dict[bytes, int] = {}
        self._words = 0
        self._blind_until_us = 0
        self._repeating: asyncio.TimerHandle | None = None
        self._telling = False
        self._stopped = False
        self._id = self._environment.random.randbytes(NONCE_BYTES)

    @property
    def owed(self) -> int:
        """Records of whose writes the cache has not been told."""
        return len(self._owed)

    def is_owed(self, partition: bytes) -> bool:
        """Whether the cache may have what this process has replaced."""
        if self._blind_until_us and self._environment.now_us() >= self._blind_until_us:
            self._blind_until_us = 0
        return self._blind_until_us > 0 or partition in self._owed

    def is_writing(self, partition: bytes) -> bool:
        """Whether this process writes to the record, or has not told the cache yet that it has.

        The head is closed meanwhile, unless the cache has lost it; then others may fill in what is being replaced.
        """
        return partition in self._unopened

    async def close(self, partition: bytes) -> Closing:
        """The record may be written to; `open` must follow."""
        now_us = self._environment.now_us()
        closing = self._closings.get(partition)
        joins = closing is not None and closing.until_us - now_us >= IN_FLIGHT_MAX_US
        if closing is None or not joins:
            id = self._environment.random.randbytes(NONCE_BYTES)
            closing = self._closings[partition] = Closing(id, now_us + CLOSED_US)
            self._unopened.setdefault(partition, set()).add(closing)
        closing.writers += 1
        try:
            if joins:
                await closing.done.wait()
            else:
                closing.is_closed = await self._close(partition, Writer(closing.id, closing.until_us))
            if not closing.is_closed:
                closing.owed = True
                self._owe(partition)
        except BaseException:
            self.open(partition, closing, None)
            raise
        finally:
            if not joins:
                closing.done.set()
        return closing

    def open(
        self, partition: bytes, closing: Closing, written: Stamp | None, *, doubtful: bool = False
    ) -> asyncio.Task[None] | None:
        """A write has ended: it is done, or with None did not happen; `doubtful` where it may still come.

        Until the task is done that is returned, others may be shown what was replaced.
        """
        closing.writers -= 1
        closing.doubtful = closing.doubtful or doubtful
        if written is not None:
            closing.wrote(written)
        if closing.writers:
            told = written is not None and closing.is_closed
            return self._renewed(partition, closing) if told else None
        if self._closings.get(partition) is closing:
            del self._closings[partition]
        if closing.doubtful:
            self._doubts.add(partition, self._environment.now_us() + CLOSED_US)
            if written is not None and closing.is_closed:
                # It stays closed for the write in doubt, and this one is in the store: what was filled in is not.
                told = self._renewed(partition, closing)
                told.add_done_callback(lambda _: self._ended(partition, closing))
                return told
        elif closing.is_closed:
            closing.opening = self._tier.spawn(self._open(partition, closing))
            return closing.opening
        self._ended(partition, closing)
        if not closing.is_closed:
            self._owe(partition)
        return None

    def _renewed(self, partition: bytes, closing: Closing) -> asyncio.Task[None]:
        """The head is changed while others still write. Who ends while that goes on waits for the next time."""
        if closing.next_renewal is None:
            closing.next_renewal = self._tier.spawn(self._renew(partition, closing, closing.renewal))
        return closing.next_renewal

    def _ended(self, partition: bytes, closing: Closing) -> None:
        """One closing less is to be opened."""
        left = self._unopened[partition]
        left.discard(closing)
        if not left:
            del self._unopened[partition]

    async def _close(self, partition: bytes, writer: Writer) -> bool:
        """Whether the head is closed for the writer."""
        key = head_key(self._tier.space, partition)
        try:
            for _ in range(TRIES):
                head, cas = await self._tier.head(key)
                now_us = self._environment.now_us()
                closed = (head or Head(b"")).closed(self._tier.nonce(), writer, now_us)
                if await self._tier.put_head(key, closed, cas):
                    return True
            # Nobody can be named any more: it is closed for whoever there is, and opens when none can be left.
            anybody = Writer(b"", self._environment.now_us() + CLOSED_US)
            return await self._tier.put_head(key, Head(self._tier.nonce(), writers=[anybody]), None)
        except Away:
            return False

    async def _renew(self, partition: bytes, closing: Closing, before: asyncio.Task[None] | None) -> None:
        """The head is another, and closed as it was; or it is open, where the last writer was quicker."""
        if before is not None:
            await asyncio.wait({before})
        closing.renewal, closing.next_renewal = closing.next_renewal, None
        key = head_key(self._tier.space, partition)
        try:
            for _ in range(TRIES):
                head, cas = await self._tier.head(key)
                if not closing.writers and closing.opening is not None:
                    await asyncio.wait({closing.opening})
                    return
                now_us = self._environment.now_us()
                writer = Writer(closing.id, closing.until_us)
                closed = (head or Head(b"")).closed(self._tier.nonce(), writer, now_us)
                if await self._tier.put_head(key, closed, cas):
                    return
        except Away:
            pass
        closing.owed = True
        self._owe(partition)

    async def _open(self, partition: bytes, closing: Closing) -> None:
        """The head is open but for others, or the word is owed: what was closed may be lost, and filled anew since."""
        key = head_key(self._tier.space, partition)
        try:
            for _ in range(TRIES):
                head, cas = await self._tier.head(key)
                now_us = self._environment.now_us()
                opened = (head or Head(b"")).opened(self._tier.nonce(), closing.id, closing.written, now_us)
                if await self._tier.put_head(key, opened, cas):
                    return
        except Away:
            pass
        finally:
            self._ended(partition, closing)
        self._owe(partition)

    def _writing_until_us(self, partition: bytes) -> int:
        """Until when a write of this process may come of which the cache may not know."""
        owed = [each.until_us for each in self._unopened.get(partition, ()) if each.owed]
        return max(self._doubts.until_us(partition), *owed, 0)

    def _owe(self, partition: bytes) -> None:
        """The cache is to be told that what it has of the record counts for nothing, and whether somebody writes."""
        if partition not in self._owed and len(self._owed) >= OWED_MAX:
            self._owed.clear()
            self._blind_until_us = self._environment.now_us() + self._tier.knobs.ttl.us + CLOSED_US
            return
        self._words += 1
        self._owed[partition] = self._words
        self._repeat_later()

    def _repeat_later(self) -> None:
        if self._repeating is None and self._owed and not (self._telling or self._stopped):
            self._repeating = asyncio.get_running_loop().call_later(REPEAT_S, self._repeat)

    def _repeat(self) -> None:
        self._repeating = None
        self._tier.spawn(self.tell_owed())

    async def tell_owed(self) -> None:
        """The cache was told what it was owed, unless it is still away."""
        self._telling = True
        try:
            await self._tell_all()
        finally:
            self._telling = False
        self._repeat_later()

    async def _tell_all(self) -> None:
        failures = 0
        for partition, word in list(self._owed.items()):
            if self._owed.get(partition) != word or await self._tell(partition, word):
                continue
            if partition in self._owed:
                # Of several servers one may be away: those whose records are elsewhere do not wait for it.
                self._owed[partition] = self._owed.pop(partition)
            failures += 1
            if failures >= FAILURES_MAX:
                return

    async def _tell(self, partition: bytes, word: int) -> bool:
        """Whether the cache was told that what it has of a record counts for nothing, and who may be writing."""
        key = head_key(self._tier.space, partition)
        try:
            head, cas = await self._tier.head(key)
            nonce, now_us = self._tier.nonce(), self._environment.now_us()
            told = (head or Head(b"")).opened(nonce, self._id, (), now_us)
            until_us = self._writing_until_us(partition)
            if until_us > now_us:
                told = told.closed(nonce, Writer(self._id, until_us), now_us)
            if await self._tier.put_head(key, told, cas) and self._owed.get(partition) == word:
                # Who is still writing says so once more when that is over.
                del self._owed[partition]
        except Away:
            return False
        return True

    def stop(self) -> None:
        """Nothing more is told, of writes that end later neither."""
        self._stopped = True
        if self._repeating is not None:
            self._repeating.cancel()
            self._repeating = None
        self._owed.clear()
