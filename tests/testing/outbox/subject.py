"""The suite over a pair that the run is given; not collected by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.testing.outbox.pairs import Make, opener

from soundstage.testing.outbox import OpenPair, OutboxSuite


class TestSubject(OutboxSuite):
    @pytest.fixture
    def open_pair(self, make: Make, tmp_path: Path) -> OpenPair:
        return opener(make, tmp_path)
