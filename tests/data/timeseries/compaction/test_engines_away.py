"""Engines for segments that do not answer, slices that are dropped, and clocks that jump, amid the rewriting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

import pytest
from tests.data.timeseries.compaction.conftest import DAILY, DAY, YESTERDAY, flights, make, settle, slices, step
from tests.data.timeseries.compaction.test_steps import runs, tables, the_slice, until_written
from tests.data.timeseries.conftest import event, served, service_of, tend

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import NotFound, Unavailable
from soundstage.data.timeseries import TimeSeries
from soundstage.data.timeseries.compaction.compactor import Compactor, prefix_of
from soundstage.data.timeseries.feed import digest_of
from soundstage.data.timeseries.partitioning.histograms import AGAIN_MAX_NS, Histograms
from soundstage.data.timeseries.roles import ROLES
from soundstage.data.timeseries.slices import Compacted
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.blobs.port import BlobInfo
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.roles import RoleContext
from soundstage.runtime.stage import Stage

LONG_S = 71 * 86_400.0
"""After which slices are dropped."""


async def away(*_: Any) -> list[BlobInfo]:
    raise Unavailable("nobody answers", outcome="not_applied")


async def nothing() -> AsyncGenerator[bytes]:
    yield b""


async def test_segments_that_cannot_be_removed_keep_no_other_slice(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = await flights(plain_cold)
    await settle(plain_cold, environment)
    await series.write_event_records_sync(events=[event(environment.now_ns())])
    environment.advance(LONG_S)
    await series.write_event_records_sync(events=[event(environment.now_ns())])
    assert environment.now_ns() % DAY > DAY // 2, "another slice is to follow"
    with monkeypatch.context() as silent:
        silent.setattr(cold, "list", away)
        with pytest.raises(Unavailable, match="nobody answers"):
            await tend(plain_cold)
    found = await slices(series)
    assert [int(each.start) // DAY - environment.now_ns() // DAY for each in found] == [0, 1]
    assert len(await tables(plain_cold)) == 2
    assert await runs(cold)
    await tend(plain_cold)
    assert await runs(cold) == []


async def test_nobody_who_writes_waits_until_segments_are_removed(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = await flights(plain_cold)
    await settle(plain_cold, environment)
    environment.advance(LONG_S)
    asked, answered, listed = asyncio.Event(), asyncio.Event(), cold.list

    async def slow(*given: Any) -> list[BlobInfo]:
        asked.set()
        await answered.wait()
        return await listed(*given)

    monkeypatch.setattr(cold, "list", slow)
    tending = asyncio.ensure_future(tend(plain_cold))
    await asked.wait()
    writing = asyncio.ensure_future(series.write_event_records_sync(events=[event(environment.now_ns())]))
    for _ in range(200):
        await asyncio.sleep(0)
    assert writing.done()
    answered.set()
    await tending
    await writing


async def test_who_cannot_remove_segments_forgets_no_slice_that_has_some(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await flights(plain_cold)
    await settle(plain_cold, environment)
    environment.advance(LONG_S)
    with monkeypatch.context() as silent:
        silent.setattr(cold, "list", away)
        with pytest.raises(Unavailable):
            await tend(plain_cold)
    # As the role does that makes slices anew by other settings.
    assert await served(plain_cold).catalogue.drop(lambda _: False, lambda: None) == 0
    assert await runs(cold)
    await tend(plain_cold)
    assert await runs(cold) == []


async def test_an_engine_that_is_away_keeps_no_table_and_no_other_slice_waiting(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = await flights(plain_cold)
    await settle(plain_cold, environment)
    await make(plain_cold, **{**DAILY, "accept_limit": "5d"})
    await series.write_event_records_sync(events=[event(YESTERDAY + 1, "late", "id0")])
    await make(plain_cold, **DAILY)
    while await tables(plain_cold) or the_slice(plain_cold).moved.building:
        # The run of before is not removed yet.
        await step(plain_cold)
        environment.advance(121.0)
    assert [each.engine for each in the_slice(plain_cold).moved.left] == ["cold"]
    environment.advance(3_600.0)
    with monkeypatch.context() as silent:
        silent.setattr(cold, "list", away)
        assert not await step(plain_cold)
    assert [each.engine for each in the_slice(plain_cold).moved.left] == ["cold"]
    await step(plain_cold)
    assert the_slice(plain_cold).moved.left == ()


@pytest.mark.parametrize("silent", ["trips", "rides"])
async def test_a_deleted_namespace_whose_segments_cannot_be_removed_keeps_no_other_waiting(
    silent: str, plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefixes = dict[str, str]()
    for name in ("trips", "rides"):
        await flights(plain_cold, name=name)
        await settle(plain_cold, environment, name)
        prefixes[name] = prefix_of(served(plain_cold, name))
        await plain_cold.client(Namespaces).delete(name=name)
    service, listed = service_of(plain_cold), cold.list
    await service.clear_segments(lambda: None)
    environment.advance(100.0)

    async def partly(prefix: str, *given: Any) -> list[BlobInfo]:
        return await (away() if prefixes[silent].startswith(prefix) else listed(prefix, *given))

    monkeypatch.setattr(cold, "list", partly)
    await service.clear_segments(lambda: None)
    monkeypatch.undo()
    assert {silent} == {
        name for each in await runs(cold) for name, prefix in prefixes.items() if each.key.startswith(prefix)
    }


async def noted_elsewhere(stage: Stage) -> None:
    """The namespace `trips` had segments on an engine that is in the stage file no more, before any other."""
    await make(stage, **DAILY)
    await stage.client(TimeSeries, "trips").list_slices()
    await service_of(stage)._compactions._noted().note(digest_of(served(stage).view), "trips", "gone")


async def test_segments_of_a_deleted_namespace_go_though_another_engine_of_it_is_gone(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    await noted_elsewhere(plain_cold)
    await flights(plain_cold)
    await settle(plain_cold, environment)
    await plain_cold.client(Namespaces).delete(name="trips")
    assert await runs(cold)
    await service_of(plain_cold).clear_segments(lambda: None)
    environment.advance(100.0)
    await service_of(plain_cold).clear_segments(lambda: None)
    assert await runs(cold) == []


async def test_segments_that_no_slice_names_go_though_another_engine_of_the_namespace_is_gone(
    plain_cold: Stage, environment: VirtualEnvironment, cold: MemoryBlobs
) -> None:
    await noted_elsewhere(plain_cold)
    await flights(plain_cold)
    await settle(plain_cold, environment)
    kept = await runs(cold)
    await cold.put(f"{prefix_of(served(plain_cold))}1-000000000000/list", nothing())
    environment.advance(3_600.0)
    await service_of(plain_cold).clear_left("trips", lambda: None)
    assert await runs(cold) == kept


@pytest.mark.parametrize("behind", ["list", "verified"])
async def test_a_slice_that_is_dropped_while_it_is_rewritten_leaves_nothing(
    behind: str,
    plain_cold: Stage,
    environment: VirtualEnvironment,
    cold: MemoryBlobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await flights(plain_cold)
    await until_written(plain_cold, environment)
    put, verify = cold.put, Compactor._verify

    async def dropped() -> None:
        environment.advance(LONG_S)
        await tend(plain_cold)

    async def put_late(key: str, chunks: AsyncIterable[bytes]) -> BlobInfo:
        if key.endswith("/list") and behind == "list":
            await dropped()
        return await put(key, chunks)

    async def verify_before(self: Compactor, compacted: Compacted, *given: Any) -> None:
        await verify(self, compacted, *given)
        if behind == "verified":
            await dropped()
            # As what was under way comes late.
            await put(f"{compacted.run}/late", nothing())

    monkeypatch.setattr(cold, "put", put_late)
    monkeypatch.setattr(Compactor, "_verify", verify_before)
    if behind == "list":
        with pytest.raises(NotFound):
            await step(plain_cold)
    else:
        await step(plain_cold)
    assert [each.key for each in await runs(cold)] == []


async def test_a_clock_that_jumps_ahead_shortens_no_wait_for_writes_under_way(
    plain_cold: Stage, environment: VirtualEnvironment
) -> None:
    await flights(plain_cold)
    await step(plain_cold)
    environment.skew(3_600.0)
    await step(plain_cold)
    assert the_slice(plain_cold).moved.compacted is None
    environment.advance(121.0)
    await step(plain_cold)
    assert the_slice(plain_cold).moved.compacted is not None


async def test_what_comes_late_says_nothing_of_how_slices_to_come_should_be(
    plain_cold: Stage, environment: VirtualEnvironment
) -> None:
    series = await flights(plain_cold, accept_limit="0s")
    await service_of(plain_cold).observe("trips", lambda: None)
    before = await series.partition_histogram()
    await settle(plain_cold, environment)
    await series.write_event_records_sync(events=[event(YESTERDAY + 1, "late", "id0")])
    environment.advance(AGAIN_MAX_NS / 1e9)
    await service_of(plain_cold).observe("trips", lambda: None)
    kept = await Histograms(served(plain_cold).table).all()
    assert [each.survey.partitions for each in kept.values()] == [each.partitions for each in before.slices]


async def test_who_has_the_role_no_more_tells_of_nothing_that_waits(
    plain_cold: Stage, environment: VirtualEnvironment
) -> None:
    await flights(plain_cold)
    service = service_of(plain_cold)

    def waiting() -> list[float]:
        return [each.value for each in service.measurements() if each.name == "timeseries_compaction_waiting"]

    (role,) = [each for each in ROLES if each.name == "timeseries-compaction"]
    work = asyncio.ensure_future(
        role.run(RoleContext(environment=environment, invoker=plain_cold, service=service, lease=None))
    )
    for _ in range(1_000):
        await asyncio.sleep(0)
        if 1.0 in waiting():
            break
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert waiting() == [0.0]


async def test_nothing_is_kept_of_what_was_done_for_a_namespace_that_is_gone(plain_cold: Stage) -> None:
    await flights(plain_cold)
    await step(plain_cold)
    await plain_cold.client(Namespaces).delete(name="trips")
    service = service_of(plain_cold)
    list(service.measurements())
    assert not service._compactions._progress
