"""The time series store on a real Cassandra, where each slice is a table of its own, which takes long to make."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from soundstage.core.time import INT64_MAX, INT64_MIN
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.records.cassandra import Link
from soundstage.testing.records import OpenEngine
from soundstage.testing.timeseries.store import Store
from soundstage.testing.timeseries.suite.edges import DAILY, DAY, TimeSeriesEdges, event, ids, opened
from soundstage.testing.timeseries.walk import walk

pytestmark = pytest.mark.slow

STEPS = 150
"""The memory and the embedded engine walk more of them."""

SEED_MAX = 2**32


class TestEdges(TimeSeriesEdges):
    """Those of the suite; `open_engine` opens engines on the node of all tests here."""


async def test_a_walk_of_a_fresh_seed_is_answered_as_by_a_sorted_list(open_engine: OpenEngine) -> None:
    seed = secrets.randbelow(SEED_MAX)
    print(f"seed {seed}")
    met = await walk(open_engine, seed, STEPS)
    assert met["written"] > 0


async def test_a_walk_with_segments_is_answered_as_by_a_sorted_list(open_engine: OpenEngine) -> None:
    seed = secrets.randbelow(SEED_MAX)
    print(f"seed {seed}")
    met = await walk(open_engine, seed, STEPS, "segments", cold=MemoryBlobs)
    assert met["written"] > 0


@contextmanager
def without_schema_changes(link: Link, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Whoever changes the schema within the block fails."""

    async def refuse(statement: str) -> None:
        raise AssertionError(statement)

    with monkeypatch.context() as patched:
        patched.setattr(link, "change_schema", refuse)
        yield


async def table_of(store: Store, link: Link) -> str:
    """The table in Cassandra of the only slice."""
    (found,) = await store.slices()
    engine = store.running.engines.get("default", "")
    catalogue = engine.parts.catalogue  # type: ignore[attr-defined]
    return f"rows_{(await catalogue.table(found.table)).number}"


def tables_in(link: Link) -> set[str]:
    """Those of the keyspace."""
    query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'suite'"
    return {row[0] for row in link.session.execute(query)}


async def test_the_control_loop_makes_slices_so_that_live_writes_change_no_schema(
    open_engine: OpenEngine, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(open_engine, time_partition=DAILY) as store:
        await store.tend()
        for day in range(3):
            with without_schema_changes(link, monkeypatch):
                await store.series.write_event_records_sync(events=[event(store.now_ns, f"{day}")])
            store.environment.advance(86_400)
            await store.tend()
        assert await ids(store, INT64_MIN, INT64_MAX) == ["2", "1", "0"]


async def test_a_slice_is_a_table_of_its_own_and_goes_whole(open_engine: OpenEngine, link: Link) -> None:
    retention = {"close_after": "1d", "delete_after": "1d"}
    async with opened(open_engine, time_partition=DAILY, retention=retention) as store:
        await store.series.write_event_records_sync(events=[event(store.now_ns)])
        table = await table_of(store, link)
        assert table in tables_in(link)
        store.environment.advance(3 * DAY / 1e9)
        await store.tend()
        assert table not in tables_in(link)
        assert await ids(store) == []


async def test_two_processes_see_what_either_writes_and_none_sees_what_was_dropped(open_engine: OpenEngine) -> None:
    retention = {"close_after": "1d", "delete_after": "1d"}
    async with (
        opened(open_engine, time_partition=DAILY, retention=retention) as one,
        opened(open_engine, time_partition=DAILY, retention=retention) as other,
    ):
        await one.series.write_event_records_sync(events=[event(one.now_ns, "one")])
        await other.series.write_event_records_sync(events=[event(other.now_ns, "other")])
        assert await ids(one) == await ids(other) == ["one", "other"]
        for each in (one, other):
            each.environment.advance(3 * DAY / 1e9)
        await one.tend()
        await other.series.write_event_records_sync(events=[event(other.now_ns, "anew")])
        assert await ids(one) == await ids(other) == ["anew"]
