"""The records of a namespace with a cache: whoever writes to its table closes the record's head first.

It stands before the engine, so that no way to write can forget the cache. Reads of it go to the engine; those that the
cache may answer ask `reads` instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    Exhausted,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TokenReused,
    TooLarge,
)
from soundstage.core.time import NS_PER_S, Duration
from soundstage.data.kv.cache_tier import CacheTier
from soundstage.data.kv.cached_reads import CachedReads, Fetch
from soundstage.data.kv.closed_heads import ClosedHeads
from soundstage.data.kv.config import NamespaceConfig
from soundstage.data.kv.predicates import Wanted
from soundstage.engines.cache.port import Cache
from soundstage.engines.records.passing import PassingRecords
from soundstage.engines.records.port import (
    IN_FLIGHT_MAX_US,
    Batch,
    Budget,
    Conditional,
    Page,
    Records,
    Span,
    Stamp,
)
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.service import NamespaceView

READS = ("hit", "negative", "miss", "refused", "closed", "outwaited", "large", "owed", "away")
"""`refused`: an answer was kept, and it may have lacked the caller's own write."""

FILLS = ("filled", "late", "outdated")

_REFUSALS = (Exhausted, InvalidArgument, NotFound, PreconditionFailed, TokenReused, TooLarge)

LOOKING_MAX = 16
"""Deletes beside each other after which it is looked what they left; after others whoever asks next does."""

FOLLOWED_US = 30_000_000
"""After a change of the namespace every process has heard of it."""

SETTLED_US = FOLLOWED_US + IN_FLIGHT_MAX_US
"""After a change no write can arrive any more that tells the cache as before: until then nothing is kept."""


class CachedRecords(PassingRecords):
    """The engine of a namespace, and the cache of `table`."""

    def __init__(
        self,
        records: Records,
        table: str,
        tier: CacheTier,
        reads: CachedReads,
        heads: ClosedHeads,
        usable_us: int,
        descending: bool = False,
    ) -> None:
        super().__init__(records)
        self.tier: CacheTier = tier
        self.heads: ClosedHeads = heads
        self.reads: CachedReads = reads
        self._table = table
        self._usable_us = usable_us
        self._descending = descending
        self._looking = 0

    def question(self, wanted: Wanted) -> bytes | None:
        """What the answer to `wanted` is kept under, if it is one to keep; see `find`."""
        return self.reads.question(wanted)

    async def find(
        self, partition: bytes, question: bytes, least: Stamp | None, now_us: int, fetch: Fetch, deadline_ns: int | None
    ) -> Page:
        """See `CachedReads.find`; what the cache may not know of is asked of the store."""
        if self.heads.is_owed(partition) or now_us < self._usable_us:
            self.tier.counts["owed"] += 1
            return await fetch()
        if self.heads.is_writing(partition):
            self.tier.counts["closed"] += 1
            return await fetch()
        return await self.reads.find(partition, question, least, now_us, fetch, deadline_ns)

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        apply = self._records.apply
        if table != self._table:
            return await apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)
        heads = self.heads
        closing = await heads.close(partition)
        try:
            stamp_us = await apply(table, partition, batch, conditional=conditional, deadline_ns=deadline_ns)
        except SoundstageError as error:
            heads.open(partition, closing, None, doubtful=_is_doubtful(error))
            raise
        except BaseException:
            heads.open(partition, closing, None, doubtful=True)
            raise
        told = heads.open(partition, closing, Stamp(stamp_us, _token_of(batch)))
        if told is not None:
            await asyncio.wait({told})
        if self._looking < LOOKING_MAX and (gone := self._gone(batch)):
            # Counted from here on: of those that end in one moment none has begun yet.
            self._looking += 1
            self.tier.spawn(self._keep_gone(partition, gone)).add_done_callback(self._looked)
        return stamp_us

    def _looked(self, _: asyncio.Task[None]) -> None:
        self._looking -= 1

    def _gone(self, batch: Batch) -> Sequence[Wanted]:
        """What readers may ask for that a delete has taken away."""
        if batch.partition is not None:
            return [Wanted(Span(reverse=self._descending))]
        keys = [key for key, cell in batch.cells if version.is_delete(cell)]
        return [Wanted(Span(), [key]) for key in keys[: self.tier.knobs.keys_max]]

    async def _keep_gone(self, partition: bytes, gone: Sequence[Wanted]) -> None:
        """That it is not there is kept, with its version, before anybody asks: whoever deletes is often asked next."""
        # Who asks for what could not be kept asks the store.
        with suppress(SoundstageError):
            for wanted in gone:
                if (question := self.question(wanted)) is not None:
                    await self.reads.keep(partition, question, partial(self._read, partition, wanted))

    async def _read(self, partition: bytes, wanted: Wanted) -> Page:
        now_us, budget = self.tier.environment.now_us(), Budget(bytes=int(self.tier.knobs.answer_max))
        if wanted.keys is None:
            return await self._records.read(self._table, partition, wanted.span, budget, now_us)
        return await self._records.get(self._table, partition, wanted.keys, now_us, budget)

    def measurements(self, labels: dict[str, str]) -> Iterable[Measurement]:
        """How reads went that the cache might answer, what became of fills, and how old hits were."""
        counts = self.tier.counts
        for outcome in READS:
            told = {**labels, "outcome": outcome}
            yield Measurement(
                "kv_cache_reads",
                "Reads that the cache might answer, by how they went",
                counts[outcome],
                "counter",
                told,
            )
        for outcome in FILLS:
            told = {**labels, "outcome": outcome}
            yield Measurement("kv_cache_fills", "Answers that were to be kept", counts[outcome], "counter", told)
        yield Measurement(
            "kv_cache_failures", "Calls that a cache left unanswered", counts["failures"], "counter", labels
        )
        age_s = self.tier.age_us / 1e6
        help = "Age of the hits together; over their number, what they can be behind the store"
        yield Measurement("kv_cache_hit_age_seconds", help, age_s, "counter", labels)
        help = "Records of whose writes the cache could not be told yet"
        yield Measurement("kv_cache_owed_records", help, self.heads.owed, "gauge", labels)

    async def close(self) -> None:
        """The cache has been told what there was to tell, if it answers."""
        await self.tier.drain()
        self.heads.stop()


def cached(
    records: Records,
    table: str,
    view: NamespaceView,
    cache: Cache,
    environment: Environment,
    before: CachedRecords | None,
) -> CachedRecords:
    """`records` with the cache of their namespace, which goes on from `before` if that is of the same version of it.

    Of two versions none finds what the other has kept: whoever follows late tells the cache as the earlier one.
    """
    config: NamespaceConfig = view.config
    space = b"%d %d %d" % (view.created_at, view.generation, view.version)
    descending = config.key_order == "desc"
    usable_us = view.updated_at.us + SETTLED_US if view.version > 1 else 0
    if before is not None and before.tier.space == space and before.tier.cache is cache:
        return CachedRecords(records, table, before.tier, before.reads, before.heads, usable_us, descending)
    tier = CacheTier(cache, config.cache, space, environment)
    return CachedRecords(
        records, table, tier, CachedReads(tier, late_us(config)), ClosedHeads(tier), usable_us, descending
    )


def late_us(config: NamespaceConfig) -> int:
    """So long after its token's time a write cannot arrive any more."""
    return config.drift_past.us + IN_FLIGHT_MAX_US


def kept_for(config: NamespaceConfig) -> Duration:
    """So long after a write the cache may have an answer from before it, of a read that was slow to be kept."""
    ttl_s = -(-config.cache.ttl // NS_PER_S)
    return Duration(ttl_s * NS_PER_S + IN_FLIGHT_MAX_US * 1_000)


def _is_doubtful(error: SoundstageError) -> bool:
    """Whether a write that ended so may have been made, or be made yet."""
    if error.outcome is not None:
        return error.outcome != "not_applied"
    return not isinstance(error, _REFUSALS)


def _token_of(batch: Batch) -> str:
    """Of the write that a batch is."""
    if batch.partition is not None:
        return version.token(batch.partition)
    return version.token(batch.ranges[0].cell if batch.ranges else batch.cells[0][1])
