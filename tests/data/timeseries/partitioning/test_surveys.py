"""A sample of a slice's partitions, on each embedded engine."""

from __future__ import annotations

import pytest
from tests.data.timeseries.conftest import NOW, OpenStage, event, make, served
from tests.data.timeseries.engines import Watched

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.timeseries.partitioning.surveys import PARTS, Limits, Survey, survey
from soundstage.engines.records.port import Budget, WalkPage
from soundstage.runtime.stage import Stage

ALL = Limits(partitions=10**9, fewest=10**9, bytes=10**12, bytes_max=10**12)


async def filled(stage: Stage, series: int, events: int = 1) -> str:
    """A slice of so many ids with so many events of about 100 bytes each; its table."""
    trips = await make(stage)
    for at in range(0, series * events, 500):
        numbers = range(at, min(at + 500, series * events))
        some = [event(NOW - 1, f"{n // series}", f"id-{n % series}", k=b"x" * 100) for n in numbers]
        await trips.write_event_records_sync(events=some)
    return served(stage).catalogue.slices[0].table


async def look(stage: Stage, table: str, limits: Limits) -> Survey:
    return await survey(served(stage).records, table, limits, stage.environment)


def test_the_parts_are_the_whole() -> None:
    assert sum(1 / of for _, of in PARTS) == 1
    spans = sorted((part / of, (part + 1) / of) for part, of in PARTS)
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]


async def test_a_small_slice_is_seen_whole_and_exactly(stage: Stage) -> None:
    table = await filled(stage, 30, events=3)
    found = await look(stage, table, ALL)
    assert (found.share, found.seen, found.partitions, found.rank_error(0.5)) == (1.0, 30, 30, 0.0)
    assert (found.rows.greatest, found.rows.quantile(0.5)) == (3, 3)
    assert 3 * 100 < found.bytes.greatest < 3 * 200


async def test_events_that_were_sent_again_count_once(stage: Stage) -> None:
    table = await filled(stage, 5)
    await filled(stage, 5)
    assert (await look(stage, table, ALL)).rows.greatest == 1


async def test_of_a_large_slice_a_fair_part_is_seen(stage: Stage) -> None:
    table = await filled(stage, 3_000)
    found = await look(stage, table, Limits(partitions=200, fewest=200, bytes=10**12, bytes_max=10**12))
    assert 0 < found.share < 0.5
    assert 200 <= found.seen < 1_500
    assert found.partitions == pytest.approx(3_000, rel=0.3)
    assert 0 < found.rank_error(0.99) < found.rank_error(0.5) < 0.1


async def test_a_partition_of_many_pages_is_one(stage: Stage) -> None:
    table = await filled(stage, 2, events=5_000)
    found = await look(stage, table, ALL)
    assert (found.seen, found.rows.greatest) == (2, 5_000)


async def test_bytes_end_a_survey_in_the_middle_of_a_partition(stage: Stage) -> None:
    table = await filled(stage, 1, events=5_000)
    found = await look(stage, table, Limits(partitions=9, fewest=9, bytes=9, bytes_max=300_000))
    assert (found.seen, found.share < 1) == (1, True)
    assert 300_000 <= found.bytes.greatest < 900_000


async def test_enough_bytes_and_partitions_end_it(stage: Stage) -> None:
    table = await filled(stage, 2_000)
    found = await look(stage, table, Limits(partitions=10**9, fewest=50, bytes=1_000, bytes_max=10**12))
    assert 50 <= found.seen < 1_000


async def test_nothing_is_there(stage: Stage) -> None:
    trips = await make(stage)
    await trips.write_event_records_sync(events=[event(NOW)])
    await served(stage).records.drop_table(table := served(stage).catalogue.slices[0].table)
    await served(stage).records.create_table((await served(stage).records.tables())[0].__class__(name=table))
    found = await look(stage, table, ALL)
    assert (found.seen, found.partitions, found.bytes.quantile(0.99)) == (0, 0, 0)


class Stores(Watched):
    """Counts the pages of walks."""

    pages = 0

    async def walk(
        self, table: str, segment: int, segments: int, position: bytes | None, budget: Budget, now_us: int
    ) -> WalkPage:
        self.pages += 1
        return await super().walk(table, segment, segments, position, budget, now_us)


async def test_a_survey_reads_no_faster_than_it_may(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    stage = await open_stage(Stores(environment))
    table = await filled(stage, 2_000)
    began = environment.monotonic_ns()
    await look(stage, table, ALL._replace(bytes_per_second=10_000))
    seconds = (environment.monotonic_ns() - began) / 1e9
    assert 2_000 * 100 / 10_000 * 0.4 < seconds < 2_000 * 200 / 10_000


async def test_it_is_given_up_when_another_may_be_at_it(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    engine = Stores(environment)
    stage = await open_stage(engine)
    table = await filled(stage, 10)

    def lost() -> None:
        raise RuntimeError("the lease is lost")

    with pytest.raises(RuntimeError):
        await survey(served(stage).records, table, ALL, environment, lost)
    assert engine.pages == 0
