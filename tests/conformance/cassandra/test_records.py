"""The records engine on a real Cassandra under the suite that every engine passes."""

from __future__ import annotations

from typing import ClassVar

import pytest

from soundstage.engines.records.port import Capability
from soundstage.testing.records import RecordsSuite

CAPABILITIES = frozenset(
    {
        Capability.CONDITIONAL,
        Capability.COSTLY_CONDITIONS,
        Capability.STATISTICS,
        Capability.DURABLE,
        Capability.TRANSFER,
        Capability.SHARED,
        Capability.COPIES,
    }
)

EXAMPLES = 25
"""Of each property: the memory and the embedded engine are tried with all of them."""


@pytest.mark.slow
class TestByTimes(RecordsSuite):
    """At the times of the versions. What works at conditional tables always is left to the other one."""

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES
    guarded_too: ClassVar[bool] = False
    examples: ClassVar[int | None] = EXAMPLES


@pytest.mark.slow
class TestByPaxos(RecordsSuite):
    """By lightweight transactions."""

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES
    conditional: ClassVar[bool] = True
    examples: ClassVar[int | None] = EXAMPLES
