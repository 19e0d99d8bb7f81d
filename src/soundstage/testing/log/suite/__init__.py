"""The tests of the suite, by the part of the port they hold an engine to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from soundstage.engines.log.port import LogCapability
from soundstage.testing.log.bench import START_NS, LogBench, OpenLog
from soundstage.testing.log.suite.appends import Appends
from soundstage.testing.log.suite.checkpoints import CheckpointsHeld
from soundstage.testing.log.suite.compaction import Compaction
from soundstage.testing.log.suite.durability import Durability
from soundstage.testing.log.suite.groups import GroupsHeld
from soundstage.testing.log.suite.histories import Histories
from soundstage.testing.log.suite.limits import Limits
from soundstage.testing.log.suite.outbox import OutboxHeld
from soundstage.testing.log.suite.reads import Reads
from soundstage.testing.log.suite.retention import Retention
from soundstage.testing.log.suite.times import Times
from soundstage.testing.log.suite.tokens import Tokens
from soundstage.testing.log.suite.topics import Topics
from soundstage.testing.log.suite.transactions import TransactionsHeld
from soundstage.testing.log.suite.waits import Waits
from soundstage.testing.records.requirements import select


class LogSuite(
    Topics,
    Appends,
    Reads,
    Waits,
    Times,
    Tokens,
    Retention,
    Compaction,
    Limits,
    Durability,
    GroupsHeld,
    TransactionsHeld,
    OutboxHeld,
    CheckpointsHeld,
    Histories,
):
    """What every engine of the log port does. Subclass it with a fixture `open_log`, see `OpenLog`.

    `capabilities` are those that the engine announces; tests that need others are not there. `start_ns` is the time
    at which the tests begin: one to come, for an engine whose server has a clock of its own to forget things by.
    """

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.asyncio]
    capabilities: ClassVar[frozenset[LogCapability]] = frozenset()
    start_ns: ClassVar[int] = START_NS

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        select(cls, cls.capabilities)

    @pytest_asyncio.fixture
    async def bench(self, open_log: OpenLog) -> AsyncIterator[LogBench]:
        """A bench with an empty topic."""
        bench = LogBench(open_log, start_ns=self.start_ns)
        await bench.open()
        yield bench
        await bench.close()

    async def test_the_engine_announces_what_it_is_held_to(self, bench: LogBench) -> None:
        assert bench.log.capabilities == self.capabilities
