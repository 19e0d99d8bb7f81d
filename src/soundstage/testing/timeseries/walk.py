"""Drawn acts on the store and on the model: whatever is written and whenever, what is read is a sorted list.

Times crowd where something changes: at the edges of buckets and slices, at the limits of what is accepted, on one
nanosecond. Slices come to have different settings, and events are sent twice, late, and with other values.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.core.time import INT64_MAX, INT64_MIN, NS_PER_S, Instant
from soundstage.data.timeseries.api import Event, EventFilter, EventItem, TimeInterval
from soundstage.engines.blobs.port import Blobs
from soundstage.testing.records import OpenEngine
from soundstage.testing.timeseries.model import Model, Rules
from soundstage.testing.timeseries.store import Store

H = 3_600 * NS_PER_S

ALWAYS = TimeInterval(start=Instant(INT64_MIN), end=Instant(INT64_MAX))

SERIES = ("ada", "bob", "x" * 1_024)
EVENTS = ("a", "b", "a\0", "ä", "a\0b", "c" * 1_024)
KEYS = ("k", "k.1", "é", "z\0")
VALUES = (b"", b"1", b"2", b"22")

LAYOUTS: Sequence[dict[str, Any]] = (
    {"seconds_per_slice": "4h", "seconds_per_bucket": "1h", "event_buckets": 1},
    {"seconds_per_slice": "7h", "seconds_per_bucket": "25m", "event_buckets": 3},
    {"seconds_per_slice": "1d", "seconds_per_bucket": "1d", "event_buckets": 2},
    {"seconds_per_slice": "90m", "seconds_per_bucket": "1h", "event_buckets": 4},
)
ENDLESS: dict[str, Any] = {"seconds_per_slice": "0s", "seconds_per_bucket": "2h", "event_buckets": 2}

RULES: Sequence[Rules] = (
    Rules(None, 10 * NS_PER_S, None, None),
    Rules(2 * H, 10 * NS_PER_S, None, None),
    Rules(3 * H, 10 * NS_PER_S, 8 * H, 20 * H),
    Rules(None, H, 30 * H, 40 * H),
    Rules(6 * H, 10 * NS_PER_S, 9 * H, None),
)

SITUATIONS = (
    "written", "refused late", "refused ahead", "late and stored", "other value", "hidden", "dropped", "paged",
    "written between pages", "filtered", "limited", "restarted", "grown", "several settings", "hedged",
)  # fmt: skip

COMPACTED = ("compacted", "late")
"""Where there is an engine for segments: slices that have some, and such to which more was written."""


class Walk:
    """One walk; `met` counts the situations. `cold` opens an engine for segments, into which slices are rewritten."""

    def __init__(self, open_engine: OpenEngine, name: str, cold: Callable[[Environment], Blobs] | None = None) -> None:
        self._rules = RULES[0]
        self._layout = LAYOUTS[0]
        self._is_compacted = cold is not None
        self.met: Counter[str] = Counter()
        self.store: Store = Store(open_engine, name, self._knobs(), cold)
        self.model: Model = Model(self._rules)
        self._sent: list[Event] = []

    async def write(self, chance: Random) -> None:
        """Events are stored all together, or none is where one is not to be."""
        events = [self._event(chance) for _ in range(chance.randint(1, 6))]
        await self._write(events)

    async def send_again(self, chance: Random) -> None:
        """Events of before, in another order and other company."""
        if self._sent:
            await self._write(chance.choices(self._sent, k=chance.randint(1, 4)))

    async def hedge(self, chance: Random) -> None:
        """Events, some of before, and their repetition at the same time: both are answered alike."""
        events = [self._event(chance) for _ in range(chance.randint(1, 4))]
        await self._write([*events, *chance.sample(self._sent, min(2, len(self._sent)))], tries=2)
        self.met["hedged"] += 1

    async def read(self, chance: Random) -> None:
        """All pages together are what the model has, and hold what they are to."""
        await self._read(chance, between=None)

    async def read_while_written(self, chance: Random) -> None:
        """What is written meanwhile is shown where it is older than what was shown, and never where it is newer."""
        await self._read(chance, between=self.write)

    async def read_while_compacted(self, chance: Random) -> None:
        """What is rewritten meanwhile is shown as if it were not."""
        await self._read(chance, between=self._compact_once)

    async def compact(self, chance: Random) -> None:
        """Slices that are due are rewritten, and what is left of them is cleared."""
        for _ in range(chance.randint(1, 4)):
            await self._compact_once(chance)
            self.store.environment.advance(chance.choice((1.0, 121.0, 400.0)))

    async def wait(self, chance: Random) -> None:
        """Time passes."""
        self.store.environment.advance(chance.choice((0.000_001, 1.0, 600.0, 3_600.0, 5 * 3_600.0)))

    async def tend(self, chance: Random) -> None:
        """The role's round: what is due is dropped."""
        await self._look()
        await self.store.tend()
        self.met["dropped"] += self.model.forget(self.store.now_ns)
        await self._look()

    async def lay_out(self, chance: Random) -> None:
        """Future slices have other settings."""
        self._layout = chance.choice(LAYOUTS if self._rules.close_ns is not None else (*LAYOUTS, ENDLESS))
        await self._configure()

    async def keep(self, chance: Random) -> None:
        """Other ages are taken, and slices kept for another time; what is gone stays so."""
        rules = chance.choice(RULES)
        if self._layout is ENDLESS and rules.close_ns is not None:
            return
        self._rules = rules
        await self._configure()

    async def restart(self, chance: Random) -> None:
        """Nothing is lost."""
        await self.store.restart()
        self.met["restarted"] += 1

    async def finish(self) -> None:
        """All that is shown is as in the model."""
        await self._look()
        for series in SERIES:
            pages = self.store.series.read_event_records.pages(time_series_id=series, time_interval=ALWAYS)
            found = [event async for page in pages for event in page.records]
            expected = self.model.read(series, INT64_MIN, INT64_MAX, {}, self.store.now_ns)
            assert found == expected, f"{series[:8]} at the end: {_difference(found, expected)}"

    async def _compact_once(self, chance: Random) -> None:
        await self.store.compact()
        await self._look()

    async def _configure(self) -> None:
        await self.store.configure(self._knobs())
        self.model.rules = self._rules

    def _knobs(self) -> dict[str, Any]:
        rules = self._rules
        knobs: dict[str, Any] = {
            "accept_limit": f"{rules.accept_ns or 0}ns",
            "accept_future": f"{rules.future_ns}ns",
            "time_partition": self._layout,
            "page_size_bytes": "4KiB",
            "fan_out": 2,
        }
        if self._is_compacted and self._layout is not ENDLESS:
            knobs["compaction"] = {"engine": "cold", "after": "2m", "file_size": "64KiB"}
        if rules.close_ns is not None:
            knobs["retention"] = {"close_after": f"{rules.close_ns}ns"}
        if rules.delete_ns is not None:
            knobs["retention"]["delete_after"] = f"{rules.delete_ns}ns"
        return knobs

    def _time(self, chance: Random) -> int:
        now_ns, rules = self.store.now_ns, self._rules
        edges = [now_ns, now_ns + rules.future_ns, now_ns // H * H, now_ns // (4 * H) * 4 * H]
        edges += [now_ns // (24 * H) * 24 * H, now_ns - 26 * H, now_ns // (25 * 60 * NS_PER_S) * 25 * 60 * NS_PER_S]
        if rules.oldest_ns is not None:
            edges.append(now_ns - rules.oldest_ns)
        near = (0, 0, -1, 1, 7, -3_600 * NS_PER_S, -chance.randrange(4 * H))
        return chance.choice(edges) + chance.choice(near)

    def _event(self, chance: Random) -> Event:
        return Event(
            time_series_id=chance.choice(SERIES),
            event_time=Instant(self._time(chance)),
            event_id=chance.choice(EVENTS),
            event_items=[
                EventItem(event_item_key=key, event_item_value=chance.choice(VALUES))
                for key in chance.sample(KEYS, chance.randint(1, 3))
            ],
        )

    async def _write(self, events: list[Event], tries: int = 1) -> None:
        await self._look()
        now_ns = self.store.now_ns
        refused = self.model.refused(events, now_ns)
        answers = await asyncio.gather(*(self._answer(events) for _ in range(tries)))
        expected = None if refused is None else f"events[{refused}].event_time"
        assert set(answers) == {expected}, f"{answers} was refused of {events} at {now_ns}, instead of {expected}"
        if refused is not None:
            self.met["refused ahead" if events[refused].event_time > now_ns else "refused late"] += 1
            return
        self.met["written"] += len(events)
        self.met["late and stored"] += sum(self.model.is_old(event, now_ns) for event in events)
        await self._look()
        self.met["other value"] += self._others(events, now_ns)
        self.model.take(events, now_ns)
        self._sent = [*self._sent, *events][-200:]

    async def _answer(self, events: list[Event]) -> str | None:
        """The field for which they were refused; None: they were taken."""
        try:
            await self.store.series.write_event_records_sync(events=events)
        except InvalidArgument as error:
            return error.field
        return None

    def _others(self, events: Sequence[Event], now_ns: int) -> int:
        """How many of `events` have a value that is not the one stored."""
        count = 0
        for event in events:
            at = event.event_time
            stored = self.model.read(event.time_series_id, at, at + 1, {}, now_ns)
            known = {item for each in stored if each.event_id == event.event_id for item in each.event_items}
            keys = {item.event_item_key for item in known}
            count += any(item.event_item_key in keys and item not in known for item in event.event_items)
        return count

    async def _read(self, chance: Random, between: Callable[[Random], Awaitable[None]] | None) -> None:
        await self._look()
        series, at = chance.choice(SERIES), self._time(chance)
        width = chance.choice((1, H, 5 * H, 50 * H, 400 * H))
        start, end = chance.choice(((at, at + width), (at - width, at), (at - 400 * H, at + width)))
        filters, limit = dict[str, bytes](), None
        if between is None and chance.random() < 0.4:
            filters = {chance.choice(KEYS): chance.choice(VALUES)} if chance.random() < 0.5 else {}
            limit = chance.randint(1, 8)
        page_size = chance.choice((1, 2, 3, 7, 1_000))
        asked: dict[str, Any] = {
            "time_series_id": series,
            "time_interval": TimeInterval(start=Instant(start), end=Instant(end)),
            "event_filters": [
                EventFilter(match_event_item_key=key, match_event_item_value=value) for key, value in filters.items()
            ],
            "total_record_limit": limit,
            "page_size": page_size,
        }
        expected = self.model.read(series, start, end, filters, self.store.now_ns)
        found, pages, token = list[Event](), 0, None
        while pages == 0 or token is not None:
            page = await self.store.series.read_event_records(**asked, page_token=token)
            assert len(page.records) <= page_size
            found, pages, token = [*found, *page.records], pages + 1, page.next_page_token
            if between is not None and token is not None:
                await between(chance)
                self.met["written between pages"] += 1
        if between is not None:
            self._compare(found, expected, self.model.read(series, start, end, {}, self.store.now_ns))
            return
        assert found == expected[:limit], f"{asked}: {_difference(found, expected[:limit])}"
        self.met["paged"] += pages > 1
        self.met["filtered"] += bool(filters and expected)
        self.met["limited"] += limit is not None and len(expected) > limit
        self.met["hidden"] += self.model.hidden(self.store.now_ns) > 0

    def _compare(self, found: Sequence[Event], before: Sequence[Event], after: Sequence[Event]) -> None:
        """What was there from the beginning is found in its order; what came meanwhile may be, in its place."""
        orders = [_order(each) for each in found]
        assert orders == sorted(set(orders)), "pages overlap, or are out of order"
        assert {_order(each) for each in before} <= set(orders), "what was there is missing"
        assert set(orders) <= {_order(each) for each in after}, "what is not there was shown"

    async def _look(self) -> None:
        """The model knows where slices begin and end."""
        slices = await self.store.slices()
        self.model.sees(slices)
        self.met["several settings"] += len({(each.seconds_per_bucket, each.event_buckets) for each in slices}) > 1
        self.met["compacted"] += any(each.segments is not None for each in slices)
        self.met["late"] += any(each.late is True for each in slices)
        self.met["grown"] += any(each.seconds_per_bucket == 2 * H for each in slices)


Act = Callable[[Walk, Random], Awaitable[None]]

ACTS: dict[Act, int] = {
    Walk.write: 30,
    Walk.send_again: 12,
    Walk.hedge: 6,
    Walk.read: 25,
    Walk.read_while_written: 8,
    Walk.wait: 10,
    Walk.tend: 5,
    Walk.lay_out: 4,
    Walk.keep: 4,
    Walk.restart: 2,
}


COMPACTING: dict[Act, int] = {**ACTS, Walk.compact: 12, Walk.read_while_compacted: 8}
"""Where there is an engine for segments."""


async def walk(
    open_engine: OpenEngine,
    seed: int,
    steps: int,
    name: str = "walk",
    cold: Callable[[Environment], Blobs] | None = None,
) -> Counter[str]:
    """So many acts were answered as by the model; what they met. `AssertionError` names the seed and the step."""
    chance, found, acts = Random(seed), Walk(open_engine, name, cold), ACTS if cold is None else COMPACTING
    await found.store.open()
    try:
        for step in range(steps):
            (act,) = chance.choices(list(acts), weights=list(acts.values()))
            try:
                await act(found, chance)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, step {step}, {act.__name__}: {error}") from error
    finally:
        await found.store.close()
    return found.met


def _order(event: Event) -> tuple[int, bytes]:
    return -event.event_time, event.event_id.encode()


def _difference(found: Sequence[Event], expected: Sequence[Event]) -> str:
    at = next((at for at, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(found), len(expected)) if at is None else at
    return f"of {len(found)} and {len(expected)} differ from {at} on: {found[at : at + 2]} and {expected[at : at + 2]}"
