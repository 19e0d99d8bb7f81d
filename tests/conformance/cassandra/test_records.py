"""The records engine on a real Cassandra under the suite that every engine passes."""

from __future__ import annotations

from typing import ClassVar

import pytest

from soundstage.engines.records.port import Capability
from soundstage.testing.records import RecordsSuite

CAPABILITIES = frozenset(
    {Capability.CONDITIONAL, Capability.COSTLY_CONDITIONS, Capability.STATISTICS, Capability.DURABLE}
)


@pytest.mark.slow
class TestByTimes(RecordsSuite):
    """At the times of the versions."""

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES


@pytest.mark.slow
class TestByPaxos(RecordsSuite):
    """By lightweight transactions."""

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES
    conditional: ClassVar[bool] = True
