"""What reads of time series cost on a real Cassandra, and what is answered where a partition is not."""

from __future__ import annotations

import pytest
from tests.data.timeseries.conftest import DAY, NOW, between, event, everything, make
from tests.data.timeseries.engines import Around
from tests.data.timeseries.real_time import RealTime

from soundstage.core.environment import SystemEnvironment
from soundstage.runtime.stage import Stage
from soundstage.testing.records import OpenEngine

pytestmark = pytest.mark.slow

SPARSE = {"seconds_per_slice": "30d", "seconds_per_bucket": "1h"}
DAYS = 8


class TestCassandra(RealTime):
    @pytest.fixture
    async def around(self, open_engine: OpenEngine) -> Around:
        return Around(await open_engine(SystemEnvironment()))

    async def test_where_events_are_sparse_more_is_read_at_once_up_to_the_bound(
        self, stage: Stage, around: Around
    ) -> None:
        interval = between(NOW - DAYS * DAY, NOW + 1)
        events = [event(NOW - day * DAY, f"{day}") for day in range(DAYS)]
        rounds, most = dict[int, int](), dict[int, int]()
        for bound in (8, 64):
            trips = await make(stage, f"trips-{bound}", time_partition=SPARSE, fan_out_max=bound)
            await trips.write_event_records_sync(events=events)
            for _ in range(3):
                around.rounds = around.most = 0
                assert await everything(trips, interval=interval) == events
            rounds[bound], most[bound] = around.rounds, around.most
        # Of reads one after the other there are fewer than with eight at once.
        assert rounds[64] <= rounds[8] / 3
        assert 8 < most[64] <= 64
        assert most[8] <= 8
