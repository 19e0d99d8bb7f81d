"""Walks of an index through everything that may befall it: in the end it has what the slices have, each event once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, cast

import pytest
from tests.data.timeseries.conftest import ALWAYS, DAY, NOW, event, make, service_of
from tests.data.timeseries.test_index import DAILY, equals, found, topics, work

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.data.timeseries import AggregationQuery, EventCount, TimeSeries
from soundstage.data.timeseries.index import building, documents, following
from soundstage.engines.records.port import Budget
from soundstage.engines.search.port import Search
from soundstage.runtime.stage import Stage

INDEX: dict[str, Any] = {"engine": "found", "fields": {"carrier": "keyword"}}
OTHER: dict[str, Any] = {"engine": "found", "fields": {"carrier": "keyword", "delay": "integer"}}
ELSEWHERE: dict[str, Any] = {"engine": "other", "fields": {"carrier": "keyword"}}
RECENT = 6
"""Events of which some are written once more, with a greater value."""


ROUGH = (40, 80, 6, 8, 4, 3, 4)
CALM = (40, 80, 6, 0, 0, 0, 0)
"""No index is made anew, which would mend what went wrong before."""

CHANGES = ("bulk", "create_index", "drop_index", "point")


class Faulty:
    """An engine of whose calls a share fails, before or after what they do, or is done much later, when nobody waits.

    It shows at once what it was told, and has a clock of its own: a stage that uses it may be on another.
    """

    def __init__(self, engine: Search, random: Random) -> None:
        self.share = 0.0
        self._engine = engine
        self._random = random
        self._left: list[tuple[str, tuple[Any, ...]]] = []

    async def catch_up(self, share: float) -> None:
        """A share of what was left is done."""
        for each in list(self._left):
            if self._random.random() < share:
                self._left.remove(each)
                name, arguments = each
                with suppress(SoundstageError):
                    await getattr(self._engine, name)(*arguments)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._engine, name)
        if name not in (*CHANGES, "indexes", "refresh", "get", "search"):
            return value
        return partial(self._at_times, value, name)

    async def _at_times(self, call: Callable[..., Any], name: str, *arguments: Any, **_: Any) -> Any:
        if name == "search":
            await self._engine.refresh(arguments[0])
        if not self.share:
            return await call(*arguments)
        await self.catch_up(0.1)
        drawn = self._random.random()
        if name in CHANGES and drawn > 1 - self.share / 3:
            self._left.append((name, arguments))
            raise Unavailable("no answer", outcome="unknown")
        if drawn < self.share / 2:
            raise Unavailable("down", outcome="not_applied")
        answer = await call(*arguments)
        if drawn < self.share:
            raise Unavailable("down", outcome="unknown")
        return answer


class Walk:
    """A stage, and what happens to it."""

    def __init__(
        self, stage: Stage, engines: Sequence[Faulty], environment: VirtualEnvironment, random: Random
    ) -> None:
        self.stage = stage
        self.engines = engines
        self.met: Counter[str] = Counter()
        self._environment = environment
        self._random = random
        self._written: dict[tuple[str, int, str], bytes] = {}
        self._recent: list[tuple[str, int, str]] = []
        self._writes = 0
        self._trips: TimeSeries

    async def run(self, weights: Sequence[int], steps: int) -> None:
        self._trips = await self._make(INDEX)
        await self.stage.systems.started("timeseries")
        for engine in self.engines:
            engine.share = 0.1
        acts = (self._write, self._tend, self._move, self._choose, self._rebuild, self._lose_feed, self._wipe)
        for _ in range(steps):
            act = self._random.choices(acts, weights)[0]
            with suppress(SoundstageError):
                await act()
                self.met[act.__name__] += 1
            self._environment.advance(self._random.choice((0.0, 1.0, 6.0)))

    async def compare(self) -> None:
        """The index has every event once, whatever came before."""
        for engine in self.engines:
            engine.share = 0.0
            await engine.catch_up(1.0)
        self._environment.advance(10)
        await work(self.stage)
        for carrier in (None, *sorted(set(self._written.values()))):
            answer = await found(self._trips, None if carrier is None else equals("carrier", carrier))
            told = [(each.time_series_id, int(each.event_time), each.event_id) for each in answer]
            assert sorted(told) == sorted(key for key, value in self._written.items() if carrier in (None, value))
        count = AggregationQuery(count=EventCount())
        reply = await self._trips.aggregate_event_records(time_interval=ALWAYS, aggregation_query=count)
        assert reply.count == len(self._written)

    async def _write(self) -> None:
        """New events, and old ones with another value: the greater stays."""
        keys = [
            (self._random.choice("abc"), NOW - self._random.randrange(3 * DAY), f"e{number}")
            for number in range(self._random.randint(1, 5))
        ]
        keys += self._random.choices(self._recent, k=min(2, len(self._recent)))
        self._recent = [*self._recent, *keys][-RECENT:]
        self._writes += 1
        carrier = b"%04d" % self._writes
        events = [
            event(at, event_id, series, carrier=carrier, delay=b"5") for series, at, event_id in sorted(set(keys))
        ]
        await self._trips.write_event_records_sync(events=events)
        self._written.update(dict.fromkeys(keys, carrier))

    async def _tend(self) -> None:
        await service_of(self.stage).tend_index("trips", self._check)
        await service_of(self.stage).drop_indexes(lambda: None)

    def _check(self) -> None:
        if self._random.random() < 0.05:
            raise Unavailable("the lease is lost")

    async def _move(self) -> None:
        """Another process has the role, and knows nothing of what this one did."""
        service_of(self.stage).rest_indexes()
        if self._random.random() < 0.5:
            service_of(self.stage)._indexes._kept.clear()

    async def _choose(self) -> None:
        await self._make(self._random.choice((None, INDEX, OTHER, ELSEWHERE)))
        if self._random.random() < 0.5:
            await self._write()
        await self._make(self._random.choice((INDEX, OTHER)))

    async def _rebuild(self) -> None:
        await self._trips.rebuild_index()

    async def _lose_feed(self) -> None:
        for topic in await topics(self.stage):
            await self.stage.log().drop_topic(topic)

    async def _wipe(self) -> None:
        for engine in self.engines:
            for each in await engine.indexes():
                await engine.drop_index(each.spec.name)

    async def _make(self, index: dict[str, Any] | None) -> TimeSeries:
        return await make(self.stage, time_partition=DAILY, index=index)


async def walk(
    open_engine: Callable[[], Search], seed: int, weights: Sequence[int], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever befell an index on two engines, it had everything in the end."""
    monkeypatch.setattr(building, "WALK", Budget(rows=5, bytes=1 << 20))
    monkeypatch.setattr(building, "EVENTS", 7)
    monkeypatch.setattr(documents, "BULK_ACTIONS", 7)
    monkeypatch.setattr(following, "FEED_ENTRIES", 3)
    random, environment = Random(seed), VirtualEnvironment(seed)
    engines = [Faulty(open_engine(), random) for _ in range(2)]
    stage = Stage.open(
        data="memory:",
        config={"engines": {name: {"url": "memory:"} for name in ("default", "found", "other")}},
        engines=cast("Any", dict(zip(("found", "other"), engines, strict=True))),
        environment=environment,
        variables={},
        background=False,
    )
    async with stage:
        walk = Walk(stage, engines, environment, random)
        await walk.run(weights, steps)
        assert {"_write", "_tend"} <= set(walk.met)
        await walk.compare()
