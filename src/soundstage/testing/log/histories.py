"""Random histories of one topic: what is drawn, and how a bench goes through them beside a plain list.

The list holds everything that was ever appended, and what a sweep so far has allowed to go. An engine shows what is in
the list, in its order, and of that nothing is missing but what was allowed to go; once gone it does not come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from hypothesis import strategies as st

from soundstage.core.errors import TokenReused
from soundstage.engines.log.arrivals import partition_of, size_of
from soundstage.engines.log.port import Entry, LogCapability, Spot, Stored, TopicSpec
from soundstage.testing.log.bench import LogBench, offsets

PARTITIONS = 2
KEYS = (b"", b"a", b"b", b"\0", b"\xff")
VALUES = (None, b"", b"1", b"22222", b"4444444444")
TOKENS = ("t", "u")
RETENTION_US = 1_000
RETENTION_BYTES = 40
LAG_US = 300
DELETE_US = 700
TOKEN_US = 900


class Sent(NamedTuple):
    """A call with `pairs` of key and value; `ahead_us` None: the engine tells the time."""

    partition: int | None
    pairs: Sequence[tuple[bytes | None, bytes | None]]
    ahead_us: int | None
    token: str | None


class Passed(NamedTuple):
    """So many microseconds pass."""

    us: int


class Swept(NamedTuple):
    """Everything that is due goes, by calls with so small a budget."""

    budget: int


class Reopened(NamedTuple):
    """The engine is stopped, and another started on what it left."""


class Looked(NamedTuple):
    """A page, somewhere."""

    share: float
    entries: int
    size: int


Step: TypeAlias = Sent | Passed | Swept | Reopened | Looked


def histories(*, compact: bool) -> st.SearchStrategy[list[Step]]:
    """Steps; entries for a compacted topic have keys."""
    keys: st.SearchStrategy[bytes | None] = st.sampled_from(KEYS) if compact else st.sampled_from((None, *KEYS))
    sent = st.builds(
        Sent,
        st.sampled_from((None, 0, 1)),
        st.lists(st.tuples(keys, st.sampled_from(VALUES)), min_size=1, max_size=6),
        st.sampled_from((None, None, -50, 0, 60)),
        st.sampled_from((None, None, *TOKENS)),
    )
    passed = st.builds(Passed, st.sampled_from((0, 1, 50, LAG_US, DELETE_US, RETENTION_US)))
    looked = st.builds(
        Looked, st.floats(0, 1, allow_nan=False), st.integers(1, 9), st.sampled_from((1, 10, 11, 100, 1 << 20))
    )
    swept = st.builds(Swept, st.sampled_from((1, 5, 10_000)))
    rare = st.one_of(swept, swept, swept, st.just(Reopened()))
    return st.lists(st.one_of(sent, sent, passed, looked, rare), min_size=1, max_size=20)


class _Kept:
    """What one partition was given. `exact`: no time is less than the one before it, nor cut to milliseconds."""

    def __init__(self, exact: bool) -> None:
        self.exact = exact
        self.entries: list[Stored] = []
        self.start = 0
        self.may_go: set[int] = set()
        self.gone: set[int] = set()

    def append(self, entry: Entry, now_us: int) -> int:
        last_us = self.entries[-1].time_us if self.entries and self.exact else 0
        told_us = now_us if self.exact else now_us // 1_000 * 1_000
        time_us = max(last_us, told_us if entry.time_us is None else entry.time_us)
        self.entries.append(Stored(len(self.entries), time_us, entry.key, entry.value, entry.headers))
        return len(self.entries) - 1

    def sweep(self, spec: TopicSpec, now_us: int) -> None:
        """Retention moves the start; compaction may take what it may."""
        for entry in self.entries[self.start :]:
            rest = sum(size_of(each) for each in self.entries[entry.offset + 1 :])
            old = spec.retention_us is not None and entry.time_us < now_us - spec.retention_us
            if not old and (spec.retention_bytes is None or rest < spec.retention_bytes):
                break
            self.start = entry.offset + 1
        if spec.compact:
            self._compact(spec, now_us)

    def _compact(self, spec: TopicSpec, now_us: int) -> None:
        settled = [entry for entry in self.entries if entry.time_us < now_us - spec.compact_lag_us]
        newest = {entry.key: entry.offset for entry in settled}
        for entry in settled:
            forgotten = entry.value is None and entry.time_us < now_us - spec.delete_retention_us
            if forgotten or newest[entry.key] != entry.offset:
                self.may_go.add(entry.offset)

    def check(self, found: Sequence[Stored]) -> None:
        there = set(offsets(found))
        assert list(found) == [self.entries[offset] for offset in sorted(there)], "entries are what was appended"
        expected = set(range(self.start, len(self.entries)))
        assert there <= expected, "what retention took is gone"
        missing = expected - there
        assert missing <= self.may_go, "nothing goes that may not"
        assert self.gone & there == set(), "what went does not come back"
        self.gone |= missing


class Player:
    """Goes through a history, on a topic of its own."""

    def __init__(self, bench: LogBench, topic: str, *, compact: bool) -> None:
        self._bench = bench
        exact = LogCapability.EXACT in bench.log.capabilities
        self._kept = [_Kept(exact) for _ in range(PARTITIONS)]
        self._tokens: dict[str, tuple[int, Sent, list[Spot]]] = {}
        self._spec = TopicSpec(
            name=topic,
            partitions=PARTITIONS,
            retention_us=None if compact else RETENTION_US,
            retention_bytes=None if compact or not exact else RETENTION_BYTES,
            compact=compact,
            compact_lag_us=LAG_US,
            delete_retention_us=DELETE_US,
            token_us=TOKEN_US,
        )

    async def play(self, steps: Sequence[Step]) -> None:
        """Engine and list agree after every step."""
        await self._bench.log.create_topic(self._spec)
        for step in steps:
            await self._take(step)
            await self._check()
        await self._bench.log.drop_topic(self._spec.name)

    async def _take(self, step: Step) -> None:
        if isinstance(step, Sent):
            await self._send(step)
        elif isinstance(step, Passed):
            self._bench.advance_us(step.us)
        elif isinstance(step, Swept):
            await self._bench.swept(step.budget)
            for kept in self._kept:
                kept.sweep(self._spec, self._bench.now_us)
        elif isinstance(step, Reopened):
            await self._bench.reopen()
        else:
            await self._look(step)

    async def _send(self, sent: Sent) -> None:
        if sent.token is not None and LogCapability.TOKEN_DEDUP not in self._bench.log.capabilities:
            sent = sent._replace(token=None)
        now_us = self._bench.now_us
        time_us = None if sent.ahead_us is None else now_us + sent.ahead_us
        entries = [Entry(value, key, (), time_us) for key, value in sent.pairs]
        known = self._tokens.get(sent.token or "")
        options = {"partition": sent.partition, "token": sent.token}
        if known is not None and now_us < known[0] + TOKEN_US:
            await self._repeat(entries, options, known)
            return
        found = await self._bench.send(*entries, topic=self._spec.name, **options)
        turn = next((spot.partition for spot, each in zip(found, entries, strict=True) if each.key is None), 0)
        for spot, each in zip(found, entries, strict=True):
            place = self._place(sent, each.key, turn)
            assert spot == Spot(place, self._kept[place].append(each, now_us))
        if sent.token is not None:
            self._tokens[sent.token] = (now_us, sent._replace(ahead_us=time_us), found)

    async def _repeat(
        self, entries: list[Entry], options: dict[str, int | str | None], known: tuple[int, Sent, list[Spot]]
    ) -> None:
        _, first, spots = known
        same = [(each.key, each.value) for each in entries] == list(first.pairs)
        times = {each.time_us for each in entries} == {first.ahead_us}
        if same and times and options["partition"] == first.partition:
            assert await self._bench.send(*entries, topic=self._spec.name, **options) == spots
            return
        try:
            await self._bench.send(*entries, topic=self._spec.name, **options)
        except TokenReused:
            return
        raise AssertionError("other entries were taken under a token that was used")

    def _place(self, sent: Sent, key: bytes | None, turn: int) -> int:
        if sent.partition is not None:
            return sent.partition
        return turn if key is None else partition_of(key, PARTITIONS)

    async def _look(self, look: Looked) -> None:
        for partition, kept in enumerate(self._kept):
            end = len(kept.entries)
            page = await self._bench.page(round(look.share * end), partition, self._spec.name, look.entries, look.size)
            sizes = [size_of(each) for each in page.entries]
            assert len(sizes) <= look.entries
            assert len(sizes) <= 1 or sum(sizes) <= look.size
            assert page.end == end
            assert page.next == end or page.entries

    async def _check(self) -> None:
        for partition, kept in enumerate(self._kept):
            kept.check(await self._bench.everything(partition, self._spec.name))
            assert await self._bench.bounds(partition, self._spec.name) == (kept.start, len(kept.entries))
