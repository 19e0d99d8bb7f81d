"""Reads of few items, or of small whole records, which the cache of the namespace answers where it can.

What it cannot answer is fetched by one reader for all, who has the lease of it; the others wait a little. Nobody waits
for long, and whatever the cache does not say, or says of a record that is being written, the store is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from soundstage.core.time import NS_PER_MS
from soundstage.data.kv.cache_entries import WHOLE, Answer, Head, Keys, keys_of, points
from soundstage.data.kv.cache_tier import Away, CacheTier, Looked
from soundstage.data.kv.items import manifest_of
from soundstage.data.kv.predicates import Wanted
from soundstage.engines.records.port import Page, Stamp

Fetch: TypeAlias = Callable[[], Awaitable[Page]]
"""Asks the store."""

POLL_MS = 2
POLL_MAX_MS = 20
"""How soon, and later how often, it is looked whether another reader has brought the answer."""

LOOKS_MAX = 64
"""Times that one read looks; by then the store is asked, whatever goes on in the cache."""


class CachedReads:
    """The reads of one namespace. `late_us`: so long after a write was made it cannot arrive any more."""

    def __init__(self, tier: CacheTier, late_us: int) -> None:
        self._tier = tier
        self._fetching: set[bytes] = set()
        self._environment = tier.environment
        self.late_us: int = late_us

    def question(self, wanted: Wanted) -> bytes | None:
        """What the answer to a read of a whole record, or of few keys, is kept under; None for any other."""
        if wanted.keys is None:
            return WHOLE + b"r" * wanted.span.reverse if wanted.is_whole else None
        return points(wanted.keys) if len(wanted.keys) <= self._tier.knobs.keys_max else None

    async def find(
        self, partition: bytes, question: bytes, least: Stamp | None, now_us: int, fetch: Fetch, deadline_ns: int | None
    ) -> Page:
        """The rows that live at `now_us`; as new as the write `least` where the answer was kept."""
        keys = keys_of(self._tier.space, partition, question)
        try:
            page = await self._kept(keys, least, now_us, fetch, deadline_ns)
        except Away:
            self._tier.counts["away"] += 1
            page = None
        return await fetch() if page is None else page

    async def keep(self, partition: bytes, question: bytes, fetch: Fetch) -> None:
        """What the store says is kept, unless another sees to that, or the record is being written."""
        keys = keys_of(self._tier.space, partition, question)
        try:
            looked = await self._tier.look(keys)
            head, cas = looked.head, looked.answer_cas
            if head is None or head.is_closed(self._environment.now_us()) or keys.answer in self._fetching:
                return
            if looked.answer is None:
                lease = await self._tier.lease(keys.answer)
                if not lease.won:
                    return
                cas = lease.cas
        except Away:
            return
        await self._fetched(keys, head, cas, fetch, None)

    async def _kept(
        self, keys: Keys, least: Stamp | None, now_us: int, fetch: Fetch, deadline_ns: int | None
    ) -> Page | None:
        """The answer, kept or fetched for all; None where this reader has to ask for itself."""
        stop_ns = self._environment.monotonic_ns() + self._tier.knobs.wait
        if deadline_ns is not None:
            stop_ns = min(stop_ns, deadline_ns)
        pause_ms = POLL_MS
        rested = True
        for _ in range(LOOKS_MAX):
            # After a rest it is looked once more, however late it is.
            if not rested and self._environment.monotonic_ns() >= stop_ns:
                break
            rested = False
            if keys.answer not in self._fetching:
                looked = await self._tier.look(keys)
                head = looked.head
                if head is None:
                    head = Head(self._tier.nonce())
                    if not await self._tier.put_head(keys.head, head, looked.head_cas):
                        continue
                elif head.is_closed(self._environment.now_us()):
                    self._tier.counts["closed"] += 1
                    return None
                elif looked.answer is not None and looked.answer.nonce == head.nonce:
                    return await self._answered(keys, looked, looked.answer, head, least, now_us, fetch)
                if looked.answer_cas:
                    await self._tier.drop(keys.answer, looked.answer_cas)
                lease = await self._tier.lease(keys.answer)
                if lease.won:
                    return await self._fill(keys, head, lease.cas, fetch)
                if lease.found.hit:
                    continue
            if self._environment.monotonic_ns() >= stop_ns:
                break
            await self._environment.sleep(pause_ms * NS_PER_MS / 1e9)
            pause_ms = min(2 * pause_ms, POLL_MAX_MS)
            rested = True
        self._tier.counts["outwaited"] += 1
        return None

    async def _answered(
        self, keys: Keys, looked: Looked, answer: Answer, head: Head, least: Stamp | None, now_us: int, fetch: Fetch
    ) -> Page | None:
        """A kept answer, or one in its place that has the write `least`."""
        counts = self._tier.counts
        if answer.rows is None:
            counts["large"] += 1
            return None
        if not answer.has(head, least, self.late_us):
            return await self._fill(keys, head, looked.answer_cas, fetch, answer.stamp)
        rows = answer.live(now_us)
        counts["hit" if rows else "negative"] += 1
        self._tier.age_us += max(0, self._environment.now_us() - answer.asked_us)
        return Page(rows, None, answer.stamp)

    async def _fill(self, keys: Keys, head: Head, cas: int, fetch: Fetch, before: Stamp | None = None) -> Page:
        """What the store says, which is kept in the place of what has that number in the cache, and was at `before`."""
        self._tier.counts["miss" if before is None else "refused"] += 1
        return await self._fetched(keys, head, cas, fetch, before)

    async def _fetched(self, keys: Keys, head: Head, cas: int, fetch: Fetch, before: Stamp | None) -> Page:
        asked_us = self._environment.now_us()
        self._fetching.add(keys.answer)
        try:
            page = await fetch()
        except BaseException:
            # Whoever is cancelled waits for nothing more; the next one need not wait for the lease to end.
            self._tier.spawn(self._put(keys.answer, None, cas))
            raise
        finally:
            self._fetching.discard(keys.answer)
        await self._put(keys.answer, self._answer(page, head, asked_us, before), cas)
        return page

    async def _put(self, key: bytes, answer: Answer | None, cas: int) -> None:
        """The answer is kept, unless the cache is away or has another by then; without one, the lease is given back."""
        try:
            if answer is None:
                await self._tier.drop(key, cas)
            elif await self._tier.put_answer(key, answer, cas):
                self._tier.counts["filled"] += 1
            else:
                self._tier.counts["late"] += 1
        except Away:
            self._tier.counts["late"] += 1

    def _answer(self, page: Page, head: Head, asked_us: int, before: Stamp | None) -> Answer | None:
        """A page as it is kept; None for one that is not whole, or older than what was written."""
        size = sum(len(key) + len(cell) for key, cell in page.rows)
        if size > self._tier.knobs.answer_max or any(manifest_of(cell) is not None for _, cell in page.rows):
            return Answer(head.nonce, asked_us)
        if page.resume is not None:
            return None
        if any(least is not None and (page.stamp is None or page.stamp < least) for least in (head.newest, before)):
            self._tier.counts["outdated"] += 1
            return None
        return Answer(head.nonce, asked_us, page.stamp, [(key, cell) for key, cell in page.rows])
