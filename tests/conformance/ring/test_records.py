"""What several copies of a row could break, of the suite that every engine passes. One node has all of it."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from tests.conformance.cassandra.test_records import CAPABILITIES

from soundstage.engines.records.port import Capability
from soundstage.testing.records import RecordsSuite
from soundstage.testing.records.suite.atomicity import Atomicity
from soundstage.testing.records.suite.histories import Histories
from soundstage.testing.records.suite.ledger import Ledger

PARTS = (Atomicity, Ledger, Histories)
EXAMPLES = 4


class OfThree(RecordsSuite):
    """The parts of the suite that are named above."""

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES
    examples: ClassVar[int | None] = EXAMPLES

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        kept = {name for part in PARTS for name in vars(part)}
        for name in dir(cls):
            if name.startswith("test_") and name not in kept:
                setattr(cls, name, None)


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestByTimes(OfThree):
    """At the times of the versions."""

    guarded_too: ClassVar[bool] = False


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestByPaxos(OfThree):
    """By lightweight transactions."""

    conditional: ClassVar[bool] = True
