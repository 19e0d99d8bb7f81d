"""The log first, over the real engines: Cassandra and Kafka with each other, and each with the embedded ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

import pytest
from tests.testing.outbox.pairs import OPTIONS, elsewhere, opener

from soundstage.core.environment import Environment
from soundstage.engines.log.kafka import KafkaLog
from soundstage.engines.log.kafka import Link as KafkaLink
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.rocksdb import open_rocksdb_log
from soundstage.engines.records.cassandra import CassandraRecords
from soundstage.engines.records.cassandra import Link as CassandraLink
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.rocksdb import open_rocksdb
from soundstage.testing.outbox import OpenPair, OutboxSuite, Pair

pytestmark = pytest.mark.slow


class OnKafka(OutboxSuite):
    """Fewer rounds: each puts the group together twice."""

    rounds: ClassVar[int] = 4
    start_ns: ClassVar[int] = time.time_ns() // 10**6 * 10**6


class TestCassandraAndKafka(OnKafka):
    @pytest.fixture
    def open_pair(self, tables: CassandraLink, topics: KafkaLink, space: str, tmp_path: Path) -> OpenPair:
        def make(folder: Path, environment: Environment) -> Pair:
            return Pair(CassandraRecords(tables, environment, f"{space}.s"), KafkaLog(topics, environment, space))

        return opener(make, tmp_path)


class TestRocksAndKafka(OnKafka):
    @pytest.fixture
    def open_pair(self, topics: KafkaLink, space: str, tmp_path: Path) -> OpenPair:
        def make(folder: Path, environment: Environment) -> Pair:
            return Pair(open_rocksdb(str(folder), OPTIONS, environment), KafkaLog(topics, environment, space))

        return opener(make, tmp_path)


class TestMemoryAndKafka(OnKafka):
    @pytest.fixture
    def open_pair(self, topics: KafkaLink, space: str, tmp_path: Path) -> OpenPair:
        kept: list[MemoryRecords] = []

        def make(folder: Path, environment: Environment) -> Pair:
            kept.append(kept[0] if kept else MemoryRecords(environment))
            return Pair(kept[0], KafkaLog(topics, environment, space))

        return opener(make, tmp_path)


class TestRocksOfAnotherProcessAndKafka(OnKafka):
    @pytest.fixture
    def open_pair(self, topics: KafkaLink, space: str, tmp_path: Path) -> OpenPair:
        def make(folder: Path, environment: Environment) -> Pair:
            records = open_rocksdb(str(folder / "records"), OPTIONS, environment)
            return Pair(
                elsewhere(records, "records", folder, environment),
                KafkaLog(topics, environment, space),
            )

        return opener(make, tmp_path)


class TestCassandraAndMemory(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tables: CassandraLink, space: str, tmp_path: Path) -> OpenPair:
        kept: list[MemoryLog] = []

        def make(folder: Path, environment: Environment) -> Pair:
            kept.append(kept[0] if kept else MemoryLog(environment))
            return Pair(CassandraRecords(tables, environment, f"{space}.s"), kept[0])

        return opener(make, tmp_path)


class TestCassandraAndRocks(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tables: CassandraLink, space: str, tmp_path: Path) -> OpenPair:
        def make(folder: Path, environment: Environment) -> Pair:
            records = CassandraRecords(tables, environment, f"{space}.s")
            return Pair(records, open_rocksdb_log(str(folder), OPTIONS, environment))

        return opener(make, tmp_path)


class TestCassandraAndRocksOfAnotherProcess(OutboxSuite):
    @pytest.fixture
    def open_pair(self, tables: CassandraLink, space: str, tmp_path: Path) -> OpenPair:
        def make(folder: Path, environment: Environment) -> Pair:
            records = CassandraRecords(tables, environment, f"{space}.s")
            log = open_rocksdb_log(str(folder / "log"), OPTIONS, environment)
            return Pair(records, elsewhere(log, "log", folder, environment))

        return opener(make, tmp_path)
