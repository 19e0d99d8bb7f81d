"""Walks of an index through everything that may befall it: in the end it has what the slices have, each event once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, cast

import pytest
from tests.data.timeseries.conftest import ALWAYS, DAY, NOW, event, make, service_of
from tests.data.timeseries.test_index import DAILY, Flaky, found, topics, work

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.data.timeseries import AggregationQuery, Event, EventCount, TimeSeries
from soundstage.data.timeseries.index import building, documents, following
from soundstage.engines.records.port import Budget
from soundstage.runtime.stage import Stage

INDEX: dict[str, Any] = {"engine": "found", "fields": {"carrier": "keyword"}}
OTHER: dict[str, Any] = {"engine": "found", "fields": {"carrier": "keyword", "delay": "integer"}}
ELSEWHERE: dict[str, Any] = {"engine": "other", "fields": {"carrier": "keyword"}}
STEPS = 80


class Faulty(Flaky):
    """Of its calls a share fails, before or after what they do."""

    def __init__(self, environment: VirtualEnvironment, random: Random) -> None:
        super().__init__(environment)
        self.share = 0.0
        self._random = random

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name not in ("bulk", "indexes", "create_index", "drop_index", "point", "refresh", "delete_where"):
            return value
        return partial(self._at_times, value)

    async def _at_times(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        drawn = self._random.random()
        if drawn < self.share / 2:
            raise Unavailable("down", outcome="not_applied")
        answer = await call(*arguments, **named)
        if drawn < self.share:
            raise Unavailable("down", outcome="unknown")
        return answer


class Walk:
    """A stage, and what happens to it."""

    def __init__(self, stage: Stage, engines: list[Faulty], environment: VirtualEnvironment, random: Random) -> None:
        self.stage = stage
        self.engines = engines
        self.met: Counter[str] = Counter()
        self._environment = environment
        self._random = random
        self._written: dict[tuple[str, int, str], Event] = {}
        self._trips: TimeSeries

    async def run(self) -> None:
        self._trips = await self._make(INDEX)
        for engine in self.engines:
            engine.share = 0.15
        acts = (self._write, self._tend, self._move, self._choose, self._rebuild, self._lose_feed, self._wipe)
        for _ in range(STEPS):
            act = self._random.choices(acts, (40, 80, 6, 8, 4, 3, 4))[0]
            with suppress(SoundstageError):
                await act()
                self.met[act.__name__] += 1
            self._environment.advance(self._random.choice((0.0, 1.0, 6.0)))

    async def compare(self) -> None:
        """The index has every event once, whatever came before."""
        for engine in self.engines:
            engine.share = 0.0
        self._environment.advance(10)
        await work(self.stage)
        answer = await found(self._trips)
        told = [(each.time_series_id, int(each.event_time), each.event_id) for each in answer]
        assert sorted(told) == sorted(self._written)
        count = AggregationQuery(count=EventCount())
        reply = await self._trips.aggregate_event_records(time_interval=ALWAYS, aggregation_query=count)
        assert reply.count == len(self._written)

    async def _write(self) -> None:
        events = [
            event(
                NOW - self._random.randrange(3 * DAY),
                f"e{number}",
                self._random.choice("abc"),
                carrier=b"UA",
                delay=b"5",
            )
            for number in range(self._random.randint(1, 5))
        ]
        await self._trips.write_event_records_sync(events=events)
        self._written.update(((each.time_series_id, int(each.event_time), each.event_id), each) for each in events)

    async def _tend(self) -> None:
        await service_of(self.stage).tend_index("trips", self._check)
        await service_of(self.stage).drop_indexes()

    def _check(self) -> None:
        if self._random.random() < 0.05:
            raise Unavailable("the lease is lost")

    async def _move(self) -> None:
        """Another process has the role, and knows nothing of what this one did."""
        service_of(self.stage).rest_indexes()
        if self._random.random() < 0.5:
            service_of(self.stage)._indexers.clear()

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


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_befalls_an_index_it_has_everything_in_the_end(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "WALK", Budget(rows=5, bytes=1 << 20))
    monkeypatch.setattr(building, "EVENTS", 7)
    monkeypatch.setattr(documents, "BULK_ACTIONS", 7)
    monkeypatch.setattr(following, "FEED_ENTRIES", 3)
    random, environment = Random(seed), VirtualEnvironment(seed)
    engines = [Faulty(environment, random) for _ in range(2)]
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
        await walk.run()
        assert {"_write", "_tend"} <= set(walk.met)
        await walk.compare()
