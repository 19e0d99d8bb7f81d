"""Steps at a site where nothing fails, and what settling notices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar

import pytest
from tests.testing.simulation.theatre import at_play, noted

from soundstage.engines.records.port import TableSpec
from soundstage.engines.search.queries import All
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.timeseries.play import TimeSeriesPlay
from soundstage.testing.simulation.timeseries.rules import LAYOUTS, RULES
from soundstage.testing.simulation.timeseries.steps import Act, Draft, SeriesStep

T = TypeVar("T")


def played(body: Callable[[Site, TimeSeriesPlay], Awaitable[T]]) -> T:
    return at_play(lambda site: TimeSeriesPlay(site, Random(1)), body)


def draft(number: int, **choices: Any) -> Draft:
    given: dict[str, Any] = {"series": 0, "near": 0, "off_ns": 0, "event_id": 0, "keys": (0, 1), "rank": 1, **choices}
    return Draft(number=number, client=0, **given)


def step(act: Act, number: int = 1, **choices: Any) -> SeriesStep:
    return SeriesStep(number=number, client=0, act=act, **choices)


def test_what_is_written_is_read_whole_and_by_pages() -> None:
    async def body(site: Site, playing: TimeSeriesPlay) -> set[str]:
        await playing.play(step("read"))
        await playing.play(step("write", drafts=tuple(draft(1, off_ns=-each) for each in range(5))))
        await playing.play(step("repeat", 2))
        await playing.play(step("walk", 3, page_size=2))
        await playing.settle()
        return noted()

    assert played(body) == {"empty", "written", "repeated", "shown", "paged"}


def test_a_write_with_an_event_that_is_ahead_is_refused_whole() -> None:
    async def body(site: Site, playing: TimeSeriesPlay) -> set[str]:
        await playing.play(step("write", drafts=(draft(1),), ahead=True))
        await playing.play(step("walk", 2))
        return noted()

    assert played(body) == {"ahead", "refused", "empty"}


def test_slices_are_dropped_when_they_are_due() -> None:
    async def body(site: Site, playing: TimeSeriesPlay) -> set[str]:
        await playing.play(step("lay_out", choice=LAYOUTS.index(LAYOUTS[3])))
        await playing.play(step("keep", 2, choice=RULES.index(RULES[2])))
        await playing.play(step("write", 3, drafts=(draft(3),)))
        for number in range(4):
            await playing.play(step("age", 4 + number))
        await playing.play(step("double", 8))
        await playing.play(step("walk", 9))
        await playing.settle()
        return noted()

    assert {"written", "dropped", "doubled", "empty"} <= played(body)


def test_a_repetition_that_is_late_is_taken() -> None:
    async def body(site: Site, playing: TimeSeriesPlay) -> set[str]:
        await playing.play(step("keep", choice=1))
        await playing.play(step("write", 2, drafts=(draft(2),)))
        await playing.play(step("age", 3))
        await playing.play(step("age", 4))
        await playing.play(step("late", 5))
        return noted()

    assert "late_and_stored" in played(body)


def test_a_table_that_no_slice_has_is_noticed_in_the_end() -> None:
    async def body(site: Site, playing: TimeSeriesPlay) -> None:
        await playing.play(step("write", drafts=(draft(1),)))
        await playing.settle()
        await site.host.engine.create_table(TableSpec(name="timeseries/events/9_20200101_9"))
        with pytest.raises(Divergence, match="there are the tables"):
            await playing.settle()

    played(body)


def test_what_was_written_is_there_after_the_host_was_killed() -> None:
    async def body(site: Site, playing: TimeSeriesPlay) -> set[str]:
        await playing.play(step("write", drafts=(draft(1),)))
        await site.host.restart("kill", 0.5)
        await playing.play(step("tend", 2))
        await playing.play(step("walk", 3))
        await playing.settle()
        return noted()

    assert {"written", "shown"} <= played(body)


def test_what_is_queued_is_stored_soon_and_found() -> None:
    async def body(site: Site, playing: TimeSeriesPlay) -> set[str]:
        await playing.play(step("index"))
        await playing.play(step("queue", 2, drafts=(draft(2), draft(2, event_id=1))))
        await playing.play(step("write", 3, drafts=(draft(3, series=1),)))
        await playing.play(step("index", 4, limited=True))
        await playing.play(step("search", 5))
        await playing.play(step("rebuild", 6))
        await playing.play(step("wipe", 7))
        await playing.settle()
        return noted()

    assert {"indexed", "queued", "written", "agreed", "found", "rebuilt", "wiped"} <= played(body)


def test_a_document_that_is_lost_is_noticed() -> None:
    async def body(site: Site, playing: TimeSeriesPlay) -> None:
        await playing.play(step("write", drafts=(draft(1), draft(1, series=1))))
        await playing.play(step("index", 2))
        (index,) = await site.host.search.indexes()
        await site.host.search.delete_where(index.spec.name, All(), limit=1)
        with pytest.raises(Divergence, match="is there, and not found"):
            await playing.play(step("index", 3, limited=True))

    played(body)


def test_a_queued_event_that_nobody_stores_is_noticed() -> None:
    async def body(site: Site, playing: TimeSeriesPlay) -> None:
        await playing.play(step("write", drafts=(draft(1),)))
        playing._served().buffer.events += 1
        with pytest.raises(Divergence, match="queued events"):
            await playing.play(step("queue", 2, drafts=(draft(2),)))

    played(body)
