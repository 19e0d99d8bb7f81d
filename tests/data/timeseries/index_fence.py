"""What a process asked of a search engine may be done long after another process has the role: nothing is undone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
from tests.data.timeseries.conftest import ALWAYS, DAY, NOW, event, make, service_of, tend
from tests.data.timeseries.test_index import DAILY, FIELDS, INDEX, equals, found, work

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.data.timeseries import AggregationQuery, EventCount, TimeSeries
from soundstage.data.timeseries.index.fields import Fields
from soundstage.engines.search.port import Action, Put, Search
from soundstage.runtime.stage import Stage


class Late:
    """An engine of which, while it `waits`, no bulk is answered, and each is done when `catch_up` is called.

    It shows at once what it was told, and has a clock of its own: a stage that uses it may be on another.
    """

    def __init__(self, engine: Search) -> None:
        self.waits = False
        self._engine = engine
        self._waiting: list[tuple[str, list[Action]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def bulk(self, index: str, actions: Sequence[Action], **_: Any) -> Any:
        if self.waits:
            self._waiting.append((index, list(actions)))
            raise Unavailable("no answer", outcome="unknown")
        return await self._engine.bulk(index, actions)

    async def search(self, index: str, request: Any, **_: Any) -> Any:
        await self._engine.refresh(index)
        return await self._engine.search(index, request)

    async def catch_up(self) -> int:
        """All that waits is done; how many actions there were."""
        for index, actions in self._waiting:
            await self._engine.bulk(index, actions)
        return sum(len(actions) for _, actions in self._waiting)


async def last_words(stage: Stage, search: Late) -> None:
    """A process with the role asks for what it has to, hears nothing, and is another one from then on."""
    search.waits = True
    with pytest.raises(Unavailable, match="no answer"):
        await service_of(stage).tend_index("trips", lambda: None)
    search.waits = False
    service_of(stage).rest_indexes()
    service_of(stage)._indexes._kept.clear()


async def counted(series: TimeSeries) -> int:
    count = AggregationQuery(count=EventCount())
    return (await series.aggregate_event_records(time_interval=ALWAYS, aggregation_query=count)).count


class Fence:
    """Subclass it with a fixture `search`, the engine under test, which has started."""

    @pytest.fixture
    def environment(self) -> VirtualEnvironment:
        return VirtualEnvironment(seed=5)

    @pytest.fixture
    async def indexed(self, environment: VirtualEnvironment, search: Late) -> AsyncIterator[Stage]:
        stage = Stage.open(
            data="memory:",
            config={"engines": {name: {"url": "memory:"} for name in ("default", "found")}},
            engines=cast("Any", {"found": search}),
            environment=environment,
            variables={},
            background=False,
        )
        async with stage:
            yield stage

    @pytest.fixture
    async def trips(self, indexed: Stage) -> TimeSeries:
        kept = {"delete_after": "3d"}
        trips = await make(indexed, index=INDEX, time_partition=DAILY, retention=kept, accept_limit="3d")
        await work(indexed)
        return trips

    @pytest.mark.parametrize("known", [False, True])
    async def test_a_document_is_not_replaced_by_what_its_event_was(
        self, indexed: Stage, trips: TimeSeries, search: Late, known: bool
    ) -> None:
        if known:
            await trips.write_event_records_sync(events=[event(NOW, carrier=b"AA")])
            await work(indexed)
        await trips.write_event_records_sync(events=[event(NOW, carrier=b"UA")])
        await last_words(indexed, search)
        await trips.write_event_records_sync(events=[event(NOW, late=b"true")])
        await work(indexed)
        assert await search.catch_up() > 0
        await work(indexed)
        assert len(await found(trips, equals("late", b"true"))) == 1

    async def test_a_document_is_not_replaced_that_was_written_while_the_slices_were_asked(
        self, indexed: Stage, trips: TimeSeries, search: Late, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await trips.write_event_records_sync(events=[event(NOW, late=b"false")])
        await work(indexed)
        await trips.write_event_records_sync(events=[event(NOW, carrier=b"UA")])
        get, late = search.get, Fields(cast("Any", FIELDS)).field("late", "")[0]

        async def get_and_be_overtaken(index: str, ids: Sequence[str], **named: Any) -> Any:
            monkeypatch.setattr(search, "get", get)
            await trips.write_event_records_sync(events=[event(NOW, late=b"true")])
            (document,) = await get(index, ids)
            assert document is not None
            await search.bulk(index, [Put(document.id, {**document.fields, late: True})])
            return await get(index, ids)

        monkeypatch.setattr(search, "get", get_and_be_overtaken)
        await service_of(indexed).tend_index("trips", lambda: None)
        assert len(await found(trips, equals("late", b"true"))) == 1

    async def test_a_document_is_not_deleted_that_was_written_since(
        self, indexed: Stage, trips: TimeSeries, search: Late, environment: VirtualEnvironment
    ) -> None:
        await trips.write_event_records_sync(events=[event(NOW, "new"), event(NOW - 2 * DAY, "old")])
        await work(indexed)
        environment.advance(2 * 86_400)
        await tend(indexed)
        await last_words(indexed, search)
        # The slice that was dropped is there again.
        await make(indexed, index=INDEX, time_partition=DAILY, accept_limit="30d")
        await trips.write_event_records_sync(events=[event(NOW - 2 * DAY, "old")])
        environment.advance(10)
        await work(indexed)
        assert await search.catch_up() > 0
        assert await counted(trips) == 2

    async def test_a_document_is_not_deleted_whose_slice_is_there_again(
        self,
        indexed: Stage,
        trips: TimeSeries,
        search: Late,
        environment: VirtualEnvironment,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        old = event(NOW - 2 * DAY, "old")
        await trips.write_event_records_sync(events=[event(NOW, "new"), old])
        await work(indexed)
        environment.advance(2 * 86_400)
        await tend(indexed)
        ask = search.search

        async def ask_and_be_overtaken(*arguments: Any, **named: Any) -> Any:
            monkeypatch.setattr(search, "search", ask)
            await make(indexed, index=INDEX, time_partition=DAILY, accept_limit="30d")
            await trips.write_event_records_sync(events=[old])
            return await ask(*arguments, **named)

        monkeypatch.setattr(search, "search", ask_and_be_overtaken)
        await service_of(indexed).tend_index("trips", lambda: None)
        # The document is as it is to be: nothing was told of yet.
        assert await counted(trips) == 2

    async def test_what_comes_late_of_a_slice_that_is_gone_is_not_counted(
        self, indexed: Stage, trips: TimeSeries, search: Late, environment: VirtualEnvironment
    ) -> None:
        await trips.write_event_records_sync(events=[event(NOW, "new")])
        await work(indexed)
        await trips.write_event_records_sync(events=[event(NOW - 2 * DAY, "old")])
        await last_words(indexed, search)
        environment.advance(2 * 86_400)
        await tend(indexed)
        await work(indexed)
        assert await search.catch_up() > 0
        assert await counted(trips) == 1
