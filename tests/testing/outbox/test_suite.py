"""The suite over each pair of embedded engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.testing.outbox.pairs import apart, beside, hosted, kept, mixed, noted, opener

from soundstage.testing.outbox import OpenPair, OutboxSuite


class TestMemory(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(kept(), tmp_path)


class TestOneDatabase(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(beside, tmp_path)


class TestTwoDatabases(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(apart, tmp_path)


class TestRecordsOnDisk(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(mixed(), tmp_path)


class TestLogOnDisk(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(noted(), tmp_path)


class TestMemoryOfAnotherProcess(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(hosted(kept()), tmp_path)


class TestDatabaseOfAnotherProcess(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(hosted(beside), tmp_path)


class TestRecordsInMemoryAndLogOfAnotherProcess(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(hosted(noted(), records=False), tmp_path)


class TestRecordsOnDiskAndLogOfAnotherProcess(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(hosted(apart, records=False), tmp_path)


class TestRecordsOfAnotherProcessAndLogInMemory(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(hosted(mixed(), log=False), tmp_path)


class TestRecordsOfAnotherProcessAndLogOnDisk(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tmp_path: Path) -> OpenPair:
        return opener(hosted(apart, log=False), tmp_path)
