"""The conformance suite of the blobs port.

    class TestMine(BlobsSuite):
        @pytest.fixture
        async def blobs(self, environment):
            engine = MyBlobs(environment)
            await engine.start()
            yield engine
            await engine.stop()

`environment` is a `VirtualEnvironment`, whose clock the suite moves; the engine takes its time from there.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.testing.blobs.suite.expectations import Expectations
from soundstage.testing.blobs.suite.expiry import Expiry
from soundstage.testing.blobs.suite.faults import Faults
from soundstage.testing.blobs.suite.lifecycle import Lifecycle
from soundstage.testing.blobs.suite.lists import Lists
from soundstage.testing.blobs.suite.metadata import Metadata
from soundstage.testing.blobs.suite.puts import Puts
from soundstage.testing.blobs.suite.reads import Reads
from soundstage.testing.blobs.suite.uploads import Uploads


class BlobsSuite(
    Puts,
    Reads,
    Expectations,
    Uploads,
    Lists,
    Expiry,
    Metadata,
    Lifecycle,
    Faults,
):
    """Subclass it and give a fixture `blobs`: a started engine, empty, on the clock of `environment`.

    `under_way_max` is how many bytes of a put may have been asked for before the engine itself has seen them.
    `goes_on_unheard` says that what was cancelled may still be done a little later, as over a network.
    """

    under_way_max: ClassVar[int] = 0
    goes_on_unheard: ClassVar[bool] = False

    @pytest.fixture
    def environment(self) -> VirtualEnvironment:
        return VirtualEnvironment(seed=5)
