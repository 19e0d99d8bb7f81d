"""The log engine on a real Kafka under the suite that every engine passes."""

from __future__ import annotations

import itertools
import time
from typing import ClassVar

import pytest
from hypothesis import given, settings

from soundstage.engines.log.port import LogCapability
from soundstage.testing.log import LogBench, LogSuite
from soundstage.testing.log.histories import Player, Step, histories
from soundstage.testing.records.examples import EXAMPLES

AHEAD_NS = 30 * 86_400 * 10**9
"""Retention is Kafka's too, by its own clock: what is to come is not old."""

_numbers = itertools.count()


@pytest.mark.slow
class TestKafka(LogSuite):
    capabilities: ClassVar[frozenset[LogCapability]] = frozenset(
        {LogCapability.DURABLE, LogCapability.GROUPS, LogCapability.TRANSACTIONS, LogCapability.SHARED}
    )
    start_ns: ClassVar[int] = (time.time_ns() + AHEAD_NS) // 10**6 * 10**6

    # Fewer than elsewhere: each step asks the broker several times.
    @settings(EXAMPLES, max_examples=8)
    @given(histories(compact=False))
    async def test_random_histories_hold_what_was_appended(self, bench: LogBench, steps: list[Step]) -> None:
        await Player(bench, f"history/{next(_numbers)}", compact=False).play(steps)
