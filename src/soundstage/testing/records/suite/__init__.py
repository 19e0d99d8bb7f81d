"""The tests of the suite, by the part of the semantics they hold an engine to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from soundstage.engines.records.port import Capability
from soundstage.testing.records.bench import Bench, OpenEngine
from soundstage.testing.records.requirements import leave_out, select
from soundstage.testing.records.suite.atomicity import Atomicity
from soundstage.testing.records.suite.bulk import BulkHeld
from soundstage.testing.records.suite.checkpoints import CheckpointsHeld
from soundstage.testing.records.suite.conditions import Conditions
from soundstage.testing.records.suite.copies import CopiesHeld
from soundstage.testing.records.suite.deletes import Deletes
from soundstage.testing.records.suite.durability import Durability
from soundstage.testing.records.suite.expiry import Expiry
from soundstage.testing.records.suite.histories import Histories
from soundstage.testing.records.suite.ledger import Ledger
from soundstage.testing.records.suite.lifecycle import Lifecycle
from soundstage.testing.records.suite.limits import Limits
from soundstage.testing.records.suite.many import Many
from soundstage.testing.records.suite.marks import Marks
from soundstage.testing.records.suite.names import Names
from soundstage.testing.records.suite.points import Points
from soundstage.testing.records.suite.purging import Purging
from soundstage.testing.records.suite.ranges import Ranges
from soundstage.testing.records.suite.sizes import Sizes
from soundstage.testing.records.suite.tables import Tables
from soundstage.testing.records.suite.tasks import Tasks
from soundstage.testing.records.suite.transfers import TransfersHeld
from soundstage.testing.records.suite.versions import Versions
from soundstage.testing.records.suite.walks import Walks


class RecordsSuite(
    Versions,
    Deletes,
    Expiry,
    Purging,
    Limits,
    Names,
    Atomicity,
    Points,
    Marks,
    Ranges,
    Many,
    Walks,
    Tables,
    Conditions,
    Ledger,
    Lifecycle,
    Tasks,
    Durability,
    Sizes,
    CheckpointsHeld,
    TransfersHeld,
    CopiesHeld,
    BulkHeld,
    Histories,
):
    """What every engine of the records port does. Subclass it with a fixture `open_engine`, see `OpenEngine`.

    `capabilities` are those that the engine announces; tests that need others are not there. With
    `conditional` every test works at a conditional table. Some tests do so always: with `guarded_too` false they are
    left to another subclass. `examples` bounds what the properties are tried with, for engines that answer slowly.
    """

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.asyncio]
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    conditional: ClassVar[bool] = False
    guarded_too: ClassVar[bool] = True
    examples: ClassVar[int | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        select(cls, cls.capabilities)
        if not cls.guarded_too:
            leave_out(cls, "guarded")

    @pytest_asyncio.fixture
    async def bench(self, open_engine: OpenEngine) -> AsyncIterator[Bench]:
        """A bench with an empty table."""
        bench = Bench(open_engine, conditional=self.conditional, examples=self.examples)
        await bench.open()
        yield bench
        await bench.close()

    @pytest_asyncio.fixture
    async def guarded(self, open_engine: OpenEngine) -> AsyncIterator[Bench]:
        """A bench with an empty table that takes conditions."""
        bench = Bench(open_engine, conditional=True, examples=self.examples)
        await bench.open()
        yield bench
        await bench.close()

    async def test_the_engine_announces_what_it_is_held_to(self, bench: Bench) -> None:
        assert bench.engine.capabilities == self.capabilities
